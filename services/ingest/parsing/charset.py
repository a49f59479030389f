"""Bytes to text: UTF-8 first, then what the bytes suggest, and always a declared repair."""

import codecs
from collections.abc import Callable

from charset_normalizer import from_bytes

from ingest.parsing.errors import UnsupportedFormat

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 64 * 1024
# Tab, line feed, form feed, carriage return, escape (ANSI logs) are normal in text; the rest of C0 is not.
_CONTROL_BYTES = bytes(byte for byte in range(32) if byte not in (8, 9, 10, 12, 13, 27))
_MAX_CONTROL_SHARE = 0.01
# Text may carry a stray NUL or bell; normalisation drops it.
_STRAY_CONTROLS = 2
_FALLBACK = "cp1252"


def looks_binary(data: bytes) -> bool:
    """Return whether `data` cannot be text in any encoding that we read: too many control bytes, NUL among them."""
    sample = data[:_SAMPLE_BYTES]
    if not sample or any(sample.startswith(bom) for bom, _ in _BOMS):
        return False
    controls = len(sample) - len(sample.translate(None, _CONTROL_BYTES))
    return controls > max(_STRAY_CONTROLS, _MAX_CONTROL_SHARE * len(sample))


def decode(data: bytes, warn: Callable[[str], None]) -> str:
    """Return the text of `data`.

    A mostly valid UTF-8 text with a few broken bytes is repaired with U+FFFD (`invalid_utf8_replaced`); other
    encodings are detected on a sample (`charset_guessed`), Windows-1252 being the declared fallback
    (`charset_fallback`).

    Raises:
        UnsupportedFormat: The bytes are not text.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                warn("invalid_unicode_replaced")
                return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if looks_binary(data):
        raise UnsupportedFormat("the content is binary")
    return _decode_other(data, warn)


def _decode_other(data: bytes, warn: Callable[[str], None]) -> str:
    repaired = data.decode("utf-8", "replace")
    broken = repaired.count("\ufffd")
    multibyte = sum(1 for char in repaired[:_SAMPLE_BYTES] if char > "\x7f" and char != "\ufffd")
    # Valid multi-byte sequences hardly ever arise by chance, so a few of them outweigh as many broken bytes.
    if multibyte >= broken:
        warn("invalid_utf8_replaced")
        return repaired
    best = from_bytes(data[:_SAMPLE_BYTES], chunk_size=2048, steps=5, preemptive_behaviour=True).best()
    if best is not None and best.encoding not in ("ascii", "utf_8"):
        try:
            text = data.decode(best.encoding)
        except (UnicodeDecodeError, LookupError):
            pass
        else:
            warn("charset_guessed")
            return text
    warn("charset_fallback")
    return data.decode(_FALLBACK, "replace")
