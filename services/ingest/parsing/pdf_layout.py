"""Lines of all pages to headings, paragraphs and tables in reading order.

Cheap rules over positions, sizes and weights; no model. Where they are wrong the text is still all there, in order,
with its page.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from ingest.parsing.pdf_furniture import without_furniture
from ingest.parsing.pdf_headings import HeadingStyles, OutlineEntry
from ingest.parsing.pdf_lines import Line, PageLines

_NUMBER_CELL = re.compile(r"[-–—(]?\s*[$€£¥]?\s*[-–—(]?\s*(?:\d[\d,.]*|[—–-])\s*(?:[%x×)]|bps|million|billion)*\s*$")
_BULLET = re.compile(r"(?:[•●▪◦‣–*-]|\(?[a-z0-9]{1,3}[.)])\s")
# Lines of a paragraph are at most this many font heights apart.
_LINE_PITCH = 1.55
# Lines of a table that are not rows (labels of groups, wrapped labels) may be this many in a row.
_MAX_LABEL_LINES = 3
_MAX_HEAD_LINES = 8
_MAX_LABELS_BELOW_HEAD = 2
# What introduces the next table, so the one before has ended.
_INTRODUCTION = re.compile(
    r"(?:as follows|following table|presented below|shown below):?$|^\(in (?:millions|thousands)", re.I
)


class BlockKind(Enum):
    """What a block is."""

    HEADING = 1
    PARAGRAPH = 2
    TABLE = 3


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a page; `level` counts for headings only."""

    kind: BlockKind
    text: str
    page: int
    level: int = 0


def layout(pages: Sequence[PageLines], outline: Sequence[OutlineEntry]) -> Iterator[Block]:
    """Yield the blocks of a document, without running heads, feet and page numbers."""
    pages = without_furniture(pages)
    styles = HeadingStyles(pages, outline)
    for page in pages:
        tables = _table_lines(page.lines)
        levels = styles.levels(page, tables)
        index = 0
        while index < len(page.lines):
            if index in tables:
                stop = index
                while stop in tables:
                    stop += 1
                rows = "\n".join(" | ".join(line.cells) for line in page.lines[index:stop])
                yield Block(BlockKind.TABLE, rows, page.number)
            elif levels[index]:
                stop = styles.heading_end(page, index, levels)
                text = " ".join(line.text for line in page.lines[index:stop])
                yield Block(BlockKind.HEADING, text, page.number, levels[index])
            else:
                stop = _paragraph_end(page.lines, index, tables, levels)
                yield Block(BlockKind.PARAGRAPH, _joined(page.lines[index:stop]), page.number)
            index = stop


def _is_row(line: Line) -> bool:
    """Return whether a line is a row: several cells, one of them a number."""
    return len(line.cells) > 1 and any(_NUMBER_CELL.match(cell) for cell in line.cells[1:])


def _table_lines(lines: Sequence[Line]) -> set[int]:
    """Return the indexes of the lines that belong to tables.

    A table is a run of at least two rows; lines between rows (group labels, wrapped labels) and lines of several
    cells right above it (column heads) are part of it.
    """
    rows = [index for index, line in enumerate(lines) if _is_row(line)]
    inside: set[int] = set()
    for first, second in pairwise(rows):
        between = range(first + 1, second)
        if len(between) <= _MAX_LABEL_LINES and all(_may_be_label(lines[index]) for index in between):
            inside.update(range(first, second + 1))
    for first in sorted(index for index in inside if index - 1 not in inside):
        inside.update(range(_head_start(lines, first), first))
    return inside


def _head_start(lines: Sequence[Line], first_row: int) -> int:
    """Return the first line of the column heads above a table; a label or two may stand between heads and rows."""
    start = first_row
    for index in range(first_row - 1, max(-1, first_row - 1 - _MAX_HEAD_LINES), -1):
        if len(lines[index].cells) > 1:
            start = index
        elif start - index > _MAX_LABELS_BELOW_HEAD or not _may_be_label(lines[index]):
            break
    return start


def _may_be_label(line: Line) -> bool:
    if len(line.cells) > 1:
        return True
    return len(line.text) <= 90 and not line.text.endswith(".") and not _INTRODUCTION.search(line.text)


def _paragraph_end(lines: Sequence[Line], start: int, tables: Set[int], levels: Sequence[int]) -> int:
    right_edge = max(line.right for line in lines)
    index = start + 1
    while index < len(lines) and index not in tables and not levels[index]:
        previous, line = lines[index - 1], lines[index]
        drop = previous.baseline - line.baseline
        if drop < 0 or drop > _LINE_PITCH * max(previous.size, line.size) or _BULLET.match(line.text):
            break
        ends = previous.text.rstrip("\"'”’)").endswith((".", ":", ";", "!", "?"))
        if ends and previous.right < previous.left + 0.8 * (right_edge - previous.left):
            break
        index += 1
    return index


def _joined(lines: Sequence[Line]) -> str:
    """Return the lines as one paragraph, words that were divided at a line end made whole."""
    text = lines[0].text
    for line in lines[1:]:
        begins = line.text[:1]
        if text.endswith("-") and text[-2:-1].isalpha() and begins.islower():
            # "non-" and "long-" keep their hyphen when the rest is a word by itself; telling them apart needs a
            # dictionary, and search splits both ways anyway.
            text = text[:-1] + line.text
        else:
            text = f"{text} {line.text}"
    return text
