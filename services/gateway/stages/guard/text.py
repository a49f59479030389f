"""Text as guardrails read it: without what hides words from a pattern but not from a reader."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_INVISIBLE: Final = frozenset({"Cf", "Co", "Cn"})
"""Unicode categories of characters that show nothing: zero-width joiners, direction marks, tag characters."""
_SEGMENT_END: Final = re.compile(r"[.!?]+[\"'”’)\]*_]*(?=\s)|[。！？]|\n+")


def plain(text: str) -> str:
    """``text`` in compatibility form (NFKC), without invisible characters. Offsets are not kept."""
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join(character for character in folded if unicodedata.category(character) not in _INVISIBLE)


def segments(text: str) -> Iterator[tuple[int, int]]:
    """Spans of sentences and lines, in order, which together hold everything but blanks."""
    start = 0
    for match in _SEGMENT_END.finditer(text):
        if text[start : match.end()].strip():
            yield start, match.end()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)
