"""Citation marks in text that arrives in pieces."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_MARK: Final = re.compile(r"(?P<blank>\s*)\[(?P<numbers>\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*)\]")
_UNFINISHED: Final = re.compile(r"\s*(?:\[[\d,\s]{0,24})?\Z")
"""A mark that may be about to be written, with the blank before it: it is held back until it is whole."""


class CitationMarks:
    """Passes text on with its marks brought to the form [1][2]; marks of unknown numbers are dropped.

    Args:
        known: Numbers that were given out.
    """

    def __init__(self, known: Collection[int]) -> None:
        self._known = frozenset(known)
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be passed on after the next piece."""
        text = self._held + piece
        end = _UNFINISHED.search(text)
        cut = end.start() if end else len(text)
        self._held = text[cut:]
        return _MARK.sub(self._replaced, text[:cut])

    def rest(self) -> str:
        """What was held back when no more pieces come."""
        held, self._held = self._held, ""
        return _MARK.sub(self._replaced, held).rstrip()

    def _replaced(self, match: re.Match[str]) -> str:
        numbers = [int(number) for number in match["numbers"].split(",")]
        marks = "".join(f"[{number}]" for number in numbers if number in self._known)
        return f"{match['blank']}{marks}" if marks else ""
