"""Running heads, feet and page numbers: lines at page edges that repeat from page to page."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ingest.parsing.pdf_lines import PageLines

_EDGE_LINES = 3
# Running heads and feet live in the outer part of the page; a short page's body does not.
_MARGIN = 0.1
_MIN_PAGES = 3
_MIN_SHARE = 0.25
_SAME_HEIGHT = 6.0
# Left, and right: running heads have no third column of numbers.
_MAX_FURNITURE_CELLS = 2
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"\W*(?:page\s*)?\d{1,4}(?:\s*(?:of|/)\s*\d{1,4})?\W*$", re.I)


def without_furniture(pages: Sequence[PageLines]) -> list[PageLines]:
    """Return the pages without repeated edge lines; numbers in them may differ."""
    counts: Counter[tuple[str, int]] = Counter()
    for page in pages:
        counts.update({_shape(page, index) for index in _edges(page)})
    needed = max(_MIN_PAGES, _MIN_SHARE * len(pages))
    repeated = {shape for shape, count in counts.items() if count >= needed}
    cleaned = []
    for page in pages:
        dropped = {index for index in _edges(page) if _shape(page, index) in repeated} | _numbers(page)
        kept = tuple(line for index, line in enumerate(page.lines) if index not in dropped)
        cleaned.append(replace(page, lines=kept))
    return cleaned


def _edges(page: PageLines) -> set[int]:
    """Return the indexes of the outermost lines, and of the few next to them that lie in the page's margins."""
    margin = _MARGIN * page.height
    inner = {
        index
        for index in _outermost(page, _EDGE_LINES)
        if not margin < page.lines[index].baseline < page.height - margin
    }
    return inner | _outermost(page, 1)


def _shape(page: PageLines, index: int) -> tuple[str, int]:
    """Return what stays the same from page to page: the text, numbers aside, and for inner lines the height."""
    line = page.lines[index]
    # Rows of a table at a page's end may differ in their numbers only, and those are what counts.
    text = line.text if len(line.cells) > _MAX_FURNITURE_CELLS else _DIGITS.sub("#", line.text.lower())
    # Printed web pages put the foot right below the text, so the outermost line may repeat at any height.
    outermost = index in _outermost(page, 1)
    return text, 0 if outermost else round(line.baseline / _SAME_HEIGHT)


def _outermost(page: PageLines, count: int) -> set[int]:
    """Return the indexes of the `count` highest and lowest lines of the page."""
    order = sorted(range(len(page.lines)), key=lambda index: -page.lines[index].baseline)
    return {*order[:count], *order[-count:]}


def _numbers(page: PageLines) -> set[int]:
    return {index for index in _outermost(page, 1) if _PAGE_NUMBER.match(page.lines[index].text)}
