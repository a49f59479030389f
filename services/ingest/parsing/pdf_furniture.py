"""Running heads, feet and page numbers: lines at page edges that repeat from page to page."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ingest.parsing.pdf_lines import PageLines

_EDGE_LINES = 3
_MIN_PAGES = 3
_MIN_SHARE = 0.25
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"\W*(?:page\s*)?\d{1,4}(?:\s*(?:of|/)\s*\d{1,4})?\W*$", re.I)


def without_furniture(pages: Sequence[PageLines]) -> list[PageLines]:
    """Return the pages without repeated edge lines; numbers in them may differ."""
    counts: Counter[str] = Counter()
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
    """Return the indexes of the first and last lines by position on the page."""
    order = sorted(range(len(page.lines)), key=lambda index: -page.lines[index].baseline)
    return {*order[:_EDGE_LINES], *order[-_EDGE_LINES:]}


def _shape(page: PageLines, index: int) -> str:
    return _DIGITS.sub("#", page.lines[index].text.lower())


def _numbers(page: PageLines) -> set[int]:
    order = sorted(range(len(page.lines)), key=lambda index: -page.lines[index].baseline)
    return {index for index in (*order[:1], *order[-1:]) if _PAGE_NUMBER.match(page.lines[index].text)}
