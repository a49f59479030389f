"""Units of an answer: sentences and lines, joined where one of them leaves a link or a call open.

Where a unit ends depends on nothing but the text up to there and a few characters behind, however the text was cut on
its way: a guard that reads unit by unit decides the same for a streamed answer as for the whole one. Each unit but the
last ends before a blank or after a line end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_END: Final = re.compile(
    r"[.!?。！？][\"'”’)]{0,8}(?:[ \t]?\[\d{1,3}\]){0,12}(?=[ \t](?:[^\[]|\[(?:\D|\d{1,3}[^\d\]]|\d{4})))|\n"
)
"""After a sentence and its marks: what follows shows that no more of them come."""
_LONGEST_END: Final = 128
"""No end is longer, with what it looks ahead."""
_OPEN: Final = re.compile(
    r"(?:\A|(?<=\n))[ \t]*Action\s*:[^\n]*\n?\Z|\{[^{}]*\Z|!?\[[^\[\]\n]*(?:\](?:\([^()\n]*)?)?\Z"
    r"|(?:\A|(?<=\n))[^\[\]\n]{0,40}\[[^\[\]\n]{1,400}\]:[ \t]*\n[ \t]*\Z|```\s*\Z"
    r"|[\"'](?:tool_calls?|function_call|tool_use|tool_choice)[\"']\s*\Z"
)
_MOST_OPEN: Final = 1_000
"""Characters that wait for the end of a link or an object; one that is longer is cut, and what follows breaks it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the text, and whether it begins a line."""

    text: str
    starts_line: bool


class Units:
    """Cuts text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._searched = 0
        self._starts_line = True

    def feed(self, piece: str) -> list[Unit]:
        """What is complete after the next piece."""
        self._held += piece
        start, units = 0, []
        position = self._searched
        while (match := _END.search(self._held, position)) is not None:
            position = match.end()
            if position - start >= _MOST_OPEN or _OPEN.search(self._held[start:position]) is None:
                units.append(self._unit(self._held[start:position]))
                start = position
        self._held = self._held[start:]
        self._searched = max(position - start, len(self._held) - _LONGEST_END, 0)
        return units

    def rest(self) -> list[Unit]:
        """What is left when no more pieces come."""
        text, self._held, self._searched = self._held, "", 0
        return [self._unit(text)] if text else []

    def _unit(self, text: str) -> Unit:
        unit = Unit(text, self._starts_line)
        self._starts_line = text.endswith("\n")
        return unit


def units_of(text: str) -> Iterator[Unit]:
    """The units of a whole text, which together are the text."""
    units = Units()
    yield from units.feed(text)
    yield from units.rest()
