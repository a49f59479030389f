"""Tables in text: what a cell holds is said by the name of its column, which stands lines above it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

_TELLING: Final = re.compile(
    r"(?<![A-Za-z])(?:phones?|telephone|tel|mobile|cell|fax|handy|telefon|téléphone|teléfono|móvil|telefono|ssn"
    r"|social[ _]security|tax[ _]id|cards?|credit|password|passphrase|secret|api[ _-]?key)(?![A-Za-z])"
    r"|电话|電話|手机|手機",
    re.IGNORECASE,
)
_DELIMITERS: Final = ("|", "\t", ";", ",")
_MOST_NAME_CHARACTERS: Final = 40
_MOST_NAME_WORDS: Final = 4

Spans = Iterable[tuple[int, int]]


@dataclass(slots=True)
class Column:
    """Cells as lines of "name: cell", and where each line's cell stands in the text."""

    name: str
    lines: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    length: int = 0

    def add(self, cell: str, place: int) -> None:
        """Takes the cell that begins at ``place`` of the text."""
        line = f"{self.name}: {cell}\n"
        self.starts.append(self.length + len(self.name) + 2)
        self.places.append(place)
        self.lines.append(line)
        self.length += len(line)

    def find(self, find: Callable[[str], Spans]) -> Iterator[tuple[int, int]]:
        """What ``find`` finds inside of single cells when it reads the name before each, as spans of the text."""
        for start, end in find("".join(self.lines)):
            index = bisect_right(self.starts, start) - 1
            if index >= 0 and end < self.starts[index] - len(self.name) - 2 + len(self.lines[index]):
                shift = self.places[index] - self.starts[index]
                yield start + shift, end + shift


def telling_columns(text: str) -> Sequence[Column]:
    """Columns whose names say what is in them. Tables are lines with the same delimiter as often as in the line of
    names: Markdown's, and CSV without line breaks in cells."""
    if "\n" not in text or _TELLING.search(text) is None:
        return ()
    return tuple(_columns(text))


def _columns(text: str) -> Iterator[Column]:
    names: dict[int, Column] = {}
    delimiter, width, place = "", 0, 0
    for line in text.splitlines(keepends=True):
        cells = line.split(delimiter) if delimiter else []
        if names and len(cells) == width:
            for index, start in _starts(cells):
                if index in names and cells[index].strip():
                    names[index].add(cells[index].rstrip(), place + start)
        else:
            yield from names.values()
            delimiter, width, names = _header(line)
        place += len(line)
    yield from names.values()


def _starts(cells: list[str]) -> Iterator[tuple[int, int]]:
    start = 0
    for index, cell in enumerate(cells):
        yield index, start
        start += len(cell) + 1


def _header(line: str) -> tuple[str, int, dict[int, Column]]:
    """Delimiter, number of cells and telling columns of a line that may be a table's first; none of another line."""
    delimiter = next((each for each in _DELIMITERS if each in line), "")
    if not delimiter or _TELLING.search(line) is None:
        return "", 0, {}
    cells = [cell.strip().strip("\"'*") for cell in line.split(delimiter)]
    if not all(_is_name(cell) for cell in cells):
        return "", 0, {}
    telling = {index: Column(cell) for index, cell in enumerate(cells) if _TELLING.search(cell)}
    return delimiter, len(cells), telling


def _is_name(cell: str) -> bool:
    short = len(cell) <= _MOST_NAME_CHARACTERS and len(cell.split()) <= _MOST_NAME_WORDS
    return short and not any(map(str.isdigit, cell)) and cell[-1:] not in (".", "!", "?", ":")
