"""Which lines of a PDF are headings, and of what level."""

import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from ingest.parsing.pdf_lines import Line, PageLines

_MAX_CHARS = 150
_MAX_LEVEL = 5
# Larger than the body by this factor is a heading even without bold type.
_LARGER = 1.15
_ITEM = re.compile(r"(?:part\s+[ivx]+|chapter\s+\d+|appendix\s+[a-z])\b", re.I)
_SUB_ITEM = re.compile(r"(?:item\s+\d+[a-c]?)\b", re.I)
_NOTE = re.compile(r"note\s+\d+\s*[—–:.-]\s*\S", re.I)
_PERIOD = re.compile(r"\b(?:months|weeks|quarters?|years?) ended\b", re.I)
_LETTERS = re.compile(r"[^\W\d_]")

Style = tuple[float, bool, bool]


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A bookmark: its title, level from 1, and page from 1."""

    title: str
    level: int
    page: int


class HeadingStyles:
    """Knows the document's body size, its heading styles from large to small, and its bookmarks."""

    def __init__(self, pages: Sequence[PageLines], outline: Sequence[OutlineEntry]) -> None:
        self._outline = {(entry.page, _key(entry.title)): entry.level for entry in outline}
        self._outline_depth = max((entry.level for entry in outline), default=0)
        self._body = _body_size(pages)
        lines = [line for page in pages for line in page.lines]
        # A document in bold type throughout has no bold headings.
        bold_chars = sum(len(line.text) for line in lines if line.bold)
        self._bold_counts = bold_chars * 3 < sum(len(line.text) for line in lines)
        styles = Counter(_style(line) for line in lines if self._looks_like(line))
        ordered = sorted(styles, key=lambda style: (-style[0], not style[1], not style[2]))
        self._levels = {style: min(rank, _MAX_LEVEL) for rank, style in enumerate(ordered, 1)}

    def levels(self, page: PageLines, tables: Set[int]) -> list[int]:
        """Return the heading level of each line of a page, 0 for what is no heading."""
        return [
            0 if index in tables or _runs_on(page.lines, index) else self._level_of(line, page.number)
            for index, line in enumerate(page.lines)
        ]

    def _level_of(self, line: Line, page: int) -> int:
        if level := self._outline.get((page, _key(line.text)), 0):
            return level
        if not self._looks_like(line):
            return 0
        if self._outline:
            # Bookmarks give the outer levels, type the ones below.
            return self._outline_depth + self._levels.get(_style(line), _MAX_LEVEL)
        if _ITEM.match(line.text):
            return 1
        if _SUB_ITEM.match(line.text):
            return 2
        if _NOTE.match(line.text):
            return 3
        return 3 + self._levels.get(_style(line), _MAX_LEVEL)

    def heading_end(self, page: PageLines, start: int, levels: Sequence[int]) -> int:
        """Return the line after a heading that may run over up to three lines of one style."""
        index = start + 1
        while index < min(len(page.lines), start + 3) and levels[index]:
            line = page.lines[index]
            close = 0 < page.lines[index - 1].baseline - line.baseline < 1.5 * line.size
            if not close or _style(line) != _style(page.lines[start]) or _SUB_ITEM.match(line.text):
                break
            index += 1
        return index

    def _looks_like(self, line: Line) -> bool:
        text = line.text
        # "Item 2." and its title are often set apart like cells.
        if (
            len(line.cells) > (2 if _SUB_ITEM.match(text) else 1)
            or len(text) > _MAX_CHARS
            or len(_LETTERS.findall(text)) < 3
        ):
            return False
        if text.endswith((".", ",", ";", ":")) and not _SUB_ITEM.match(text):
            return False
        # Units and periods above tables are set in bold as well.
        if text[0].islower() or text[0] in "(☐☒" or _PERIOD.search(text):
            return False
        if _NOTE.match(text):
            return True
        return line.size >= self._body * _LARGER or (self._bold_counts and line.bold and line.size >= self._body * 0.9)


def _style(line: Line) -> Style:
    return round(line.size * 2) / 2, line.bold, line.text.isupper()


def _runs_on(lines: Sequence[Line], index: int) -> bool:
    """Return whether the next line continues this one in lower case: the first line of a bold paragraph."""
    if index + 1 >= len(lines):
        return False
    line, following = lines[index], lines[index + 1]
    return following.text[0].islower() and 0 < line.baseline - following.baseline < 1.5 * line.size


def _key(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())


def _body_size(pages: Sequence[PageLines]) -> float:
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 1.0
