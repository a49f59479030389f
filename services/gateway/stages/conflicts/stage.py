"""The stage: sentences that an answer cites are compared with what other documents say of the same thing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from gateway.conflicts import Conflict
from gateway.domain import Citation, Draft, Outcome, Place, Span
from gateway.generators.extractive.units import Unit, UnitKind, split_units
from gateway.ports import ContextBlock, TermAnalyser
from gateway.stages.conflicts.statement import Statement, StatementReader, disagreement
from gateway.stages.guard.retrieved import steers

MOST_CONFLICTS: Final = 3
"""An answer names so many at most."""
MOST_STATEMENTS: Final = 120
"""Sentences that are compared at most, those of the best passages first; bounds what one question costs."""
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
        statements = list(self._statements(blocks))
        citations = list(draft.citations)
        conflicts: list[Conflict] = []
        for citation in draft.citations:
            for _, _, cited in self._cited(citation, statements):
                for block, unit, statement in statements:
                    if block.passage.document_id == citation.key.document_id or len(conflicts) == MOST_CONFLICTS:
                        continue
                    kind = disagreement(cited, statement)
                    if kind is None:
                        continue
                    number = _number_of(block, unit, citations)
                    pair = {citation.number, number}
                    if not any(pair == set(each.citations) for each in conflicts):
                        conflicts.append(Conflict((citation.number, number), kind))
        if not conflicts:
            return draft
        return replace(draft, citations=tuple(citations), conflicts=tuple(conflicts))

    def _statements(self, blocks: Sequence[ContextBlock]) -> Iterator[tuple[ContextBlock, Unit, Statement]]:
        count = 0
        for block in blocks:
            for unit in split_units(block.text):
                text = block.text[unit.start : unit.end]
                if unit.kind not in _SAID or count >= MOST_STATEMENTS or _is_steering(block, unit, text):
                    continue
                count += 1
                headings = block.place.heading_path
                yield block, unit, self._reader.read(text, block.passage.title, headings)

    @staticmethod
    def _cited(
        citation: Citation, statements: Sequence[tuple[ContextBlock, Unit, Statement]]
    ) -> Iterator[tuple[ContextBlock, Unit, Statement]]:
        """The statements that lie inside the citation's quote."""
        span = citation.place.span
        for block, unit, statement in statements:
            start = block.place.span.start
            if block.passage.key == citation.key and span.start <= start + unit.start and start + unit.end <= span.end:
                yield block, unit, statement


def _is_steering(block: ContextBlock, unit: Unit, text: str) -> bool:
    return steers(text) or any(span.start < unit.end and unit.start < span.end for span in block.steering)


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
