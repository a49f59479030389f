"""Which characters make a word, and which scripts write without spaces."""

from __future__ import annotations

import re
import unicodedata

# Scripts whose words aren't separated by spaces: Thai to Lao, Myanmar, Hangul Jamo, Khmer, kana, Hangul, Han,
# half-width kana.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003fffd"
)


def _mark_ranges() -> str:
    """Character-class ranges of combining marks in the basic plane. ``\\w`` leaves them out, yet they are parts of
    words in Arabic, Devanagari, Tamil, Thai and others."""
    marks = [code for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    ranges: list[list[int]] = []
    for code in marks:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in ranges)


_WORD = f"[\\w{_mark_ranges()}]+"

TOKEN = re.compile(rf"[A-Za-z](?:\+\+|#)(?!\w)|{_WORD}(?:[.-]{_WORD})*")
"""A word, or words joined by single dots or hyphens ("v2.10.3", "RFC-7519", "os.path"); also "C++" and "C#"."""

UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
"""A run of text in scripts without spaces."""

ASCII_TOKEN = re.compile(r"[A-Za-z](?:\+\+|#)(?!\w)|\w+(?:[.-]\w+)*", re.ASCII)
"""``TOKEN`` for text that is all ASCII: the same tokens, twice as fast."""

_SCRIPT_LANGUAGES = (
    ("\u0370", "\u03ff", "el"),
    ("\u0400", "\u052f", "ru"),
    ("\u0530", "\u058f", "hy"),
    ("\u0590", "\u05ff", "he"),
    ("\u0600", "\u06ff", "ar"),
    ("\u0900", "\u097f", "hi"),
    ("\u0b80", "\u0bff", "ta"),
)
_LANGUAGES_OF_SCRIPT = {
    "ru": frozenset({"ru", "sr"}),
    "he": frozenset({"he", "yi"}),
    "ar": frozenset({"ar", "fa"}),
    "hi": frozenset({"hi", "ne"}),
}


def language_of_word(word: str, language: str) -> str:
    """The language whose rules fit a word's script: ``language`` if that is written in it, else the script's most
    common one.

    So a Russian name in an English document, and a Russian query of unknown language, get Russian stems. Words in
    Latin letters take ``language``.
    """
    first = word[0]
    if first < "\u0370":
        return language
    for start, end, common in _SCRIPT_LANGUAGES:
        if start <= first <= end:
            return language if language in _LANGUAGES_OF_SCRIPT.get(common, ()) else common
    return language
