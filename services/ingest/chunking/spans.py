"""Spans of a document's text and the sections that they touch."""

from bisect import bisect_right
from collections.abc import Sequence

from ingest.parsing.model import ParsedDocument, Section, SectionKind


class SectionLookup:
    """Finds the sections of a span."""

    def __init__(self, document: ParsedDocument) -> None:
        self._sections = document.sections
        self._starts = [section.start for section in document.sections]

    def between(self, start: int, end: int) -> Sequence[Section]:
        """Return the sections that share a code point with the span, in order."""
        return self._sections[bisect_right(self._starts, start) - 1 : bisect_right(self._starts, end - 1)]


def common_path(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest heading path that all `paths` begin with."""
    shortest = min(paths, key=len)
    for depth, label in enumerate(shortest):
        if any(path[depth] != label for path in paths):
            return shortest[:depth]
    return shortest


def main_kind(sections: Sequence[Section], start: int, end: int) -> SectionKind:
    """Return the kind that covers most of the span."""
    covered = dict.fromkeys(SectionKind, 0)
    for section in sections:
        covered[section.kind] += min(section.end, end) - max(section.start, start)
    return max(covered, key=lambda kind: covered[kind])


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without white space at either end; (start, start) if nothing is left."""
    piece = text[start:end]
    stripped = piece.lstrip()
    if not stripped:
        return start, start
    left = start + len(piece) - len(stripped)
    return left, left + len(stripped.rstrip())


def halves(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the span as two trimmed spans, cut at the white space next to its middle if there is any."""
    middle = (start + end) // 2
    cut = text.rfind(" ", start + 1, middle)
    if cut < 0:
        cut = middle
    return [span for span in (trim(text, start, cut), trim(text, cut, end)) if span[0] < span[1]]
