"""The stage: sentences that an answer cites are compared with what other documents say of the same thing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

from gateway.conflicts import Conflict
from gateway.domain import Citation, Draft, Outcome, Place, Span
from gateway.generators.extractive.units import Unit, UnitKind, split_units
from gateway.ports import ContextBlock, TermAnalyser
from gateway.stages.conflicts.statement import LEAST_SHARED, Statement, StatementReader, disagreement
from gateway.stages.guard.retrieved import steers

MOST_CONFLICTS: Final = 3
"""An answer names so many at most."""
MOST_STATEMENTS: Final = 120
"""Sentences that are compared at most, those of the best passages first; bounds what one question costs."""
_STEM: Final = 4
"""Letters of a word that are compared before anything is analysed."""
_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_MAY_HOLD: Final = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|ninety|"
    r"half|twice|dozen|per|each|every|\w+ly|an?\s(?:second|minute|hour|day|week|month|quarter|year))\b",
    re.IGNORECASE,
)
"""A sentence without any of these has no value that could differ."""
_SAID: Final = frozenset({UnitKind.SENTENCE, UnitKind.ITEM})
"""Rows and code say nothing without their columns and lines."""


class ConflictFinder:
    """Finds, for sentences that an answer cites, those of other documents that give another value."""

    def __init__(self, analyse: TermAnalyser) -> None:
        self._reader = StatementReader(analyse)

    async def find(self, draft: Draft, blocks: Sequence[ContextBlock]) -> Draft:
        """The draft with its conflicts, and with a citation for each source that is only named in one. Drafts that are
        no answers are returned as they are."""
        if draft.outcome is not Outcome.ANSWERED or len({block.passage.document_id for block in blocks}) < 2:
            return draft
        return await asyncio.to_thread(self._find, draft, blocks)

    def _find(self, draft: Draft, blocks: Sequence[ContextBlock]) -> Draft:
        units = list(_units_of(blocks))
        read = cache(lambda position: self._read(*units[position]))
        citations = list(draft.citations)
        conflicts: list[Conflict] = []
        for citation in draft.citations:
            for mine in _cited(citation, units):
                for other in _alike(mine, units):
                    kind = disagreement(read(mine), read(other))
                    block, unit = units[other]
                    if kind is None or _is_steering(block, unit):
                        continue
                    number = _number_of(block, unit, citations)
                    if not any({citation.number, number} == set(each.citations) for each in conflicts):
                        conflicts.append(Conflict((citation.number, number), kind))
                    if len(conflicts) == MOST_CONFLICTS:
                        return replace(draft, citations=tuple(citations), conflicts=tuple(conflicts))
        if not conflicts:
            return draft
        return replace(draft, citations=tuple(citations), conflicts=tuple(conflicts))

    def _read(self, block: ContextBlock, unit: Unit) -> Statement:
        return self._reader.read(_text(block, unit), block.passage.title, block.place.heading_path)


def _units_of(blocks: Sequence[ContextBlock]) -> Iterator[tuple[ContextBlock, Unit]]:
    """Sentences that may hold a value."""
    count = 0
    for block in blocks:
        for unit in split_units(block.text):
            if count < MOST_STATEMENTS and unit.kind in _SAID and _MAY_HOLD.search(_text(block, unit)):
                count += 1
                yield block, unit


def _cited(citation: Citation, units: Sequence[tuple[ContextBlock, Unit]]) -> Iterator[int]:
    """Positions of what lies inside the citation's quote."""
    span = citation.place.span
    for position, (block, unit) in enumerate(units):
        start = block.place.span.start
        if block.passage.key == citation.key and span.start <= start + unit.start and start + unit.end <= span.end:
            yield position


def _alike(mine: int, units: Sequence[tuple[ContextBlock, Unit]]) -> Iterator[int]:
    """Positions of sentences of other documents that have words in common with one: most have none, and need not be
    analysed."""
    document, words = units[mine][0].passage.document_id, _stems(_text(*units[mine]))
    for position, (block, unit) in enumerate(units):
        if block.passage.document_id != document and len(words & _stems(_text(block, unit))) >= LEAST_SHARED:
            yield position


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in _WORD.findall(text.casefold())}


def _text(block: ContextBlock, unit: Unit) -> str:
    return block.text[unit.start : unit.end]


def _is_steering(block: ContextBlock, unit: Unit) -> bool:
    overlaps = any(span.start < unit.end and unit.start < span.end for span in block.steering)
    return overlaps or steers(_text(block, unit))


def _number_of(block: ContextBlock, unit: Unit, citations: list[Citation]) -> int:
    """Number of the citation that quotes the unit; one is added where there is none."""
    passage, start = block.passage, block.place.span.start
    span = Span(start + unit.start, start + unit.end)
    for each in citations:
        inside = each.place.span.start <= span.start and span.end <= each.place.span.end
        if each.key == passage.key and inside:
            return each.number
    number = max(each.number for each in citations) + 1
    citations.append(
        Citation(
            number=number,
            key=passage.key,
            title=passage.title,
            uri=passage.uri,
            place=Place(block.place.heading_path, block.place.page, span),
            quote=block.text[unit.start : unit.end],
            ingest_trace_id=passage.ingest_trace_id,
            document_updated_at=passage.updated_at,
        )
    )
    return number
