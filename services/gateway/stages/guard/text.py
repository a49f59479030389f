"""Text as guardrails read it: without what hides words from a pattern but not from a reader."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_INVISIBLE_CATEGORIES: Final = frozenset({"Cf", "Co", "Cn"})
"""Unicode categories of characters that show nothing: zero-width joiners, direction marks, tag characters."""
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of other categories (variation selectors, fillers), and the empty Braille pattern."""
_BLANKS: Final = re.compile(r"\s+")
_SEGMENT_END: Final = re.compile(r"[.!?]+[\"'”’)\]*_]*(?=\s)|[。！？]|\n+")


def plain(text: str) -> str:
    """``text`` in compatibility form (NFKC), without invisible characters. Lines and blanks stay; offsets do not."""
    return _read(text, "")


def readings(text: str) -> tuple[str, ...]:
    """The plain text on one line with single blanks; where characters show nothing, also with blanks in their place,
    for they may stand within words or between them."""
    without = _BLANKS.sub(" ", plain(text))
    if text.isascii():
        return (without,)
    instead = _BLANKS.sub(" ", _read(text, " "))
    return (without,) if instead == without else (without, instead)


def _read(text: str, instead: str) -> str:
    if text.isascii():
        return text
    folded = _INVISIBLE.sub(instead, unicodedata.normalize("NFKC", text))
    if folded.isascii():
        return folded
    return "".join(
        instead if unicodedata.category(character) in _INVISIBLE_CATEGORIES else character for character in folded
    )


def segments(text: str) -> Iterator[tuple[int, int]]:
    """Spans of sentences and lines, in order, which together hold everything but blanks."""
    start = 0
    for match in _SEGMENT_END.finditer(text):
        if text[start : match.end()].strip():
            yield start, match.end()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)
