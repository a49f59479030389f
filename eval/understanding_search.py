"""Retrieval through the public API, for planners that run in the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chassis.identity import Caller
from gateway.domain import CitationKey, Passage, Place, Question, Retrieved
from headwater import AsyncClient, Hit

OFF: Final[Mapping[str, Any]] = dict.fromkeys(
    (f"understand_{s}" for s in ("rewrite", "classify", "filters", "route", "decompose", "depth", "expand", "clarify")),
    False,
)
SHOWN_K: Final = 12
"""What the gateway searches for where nothing else is said."""


@dataclass(frozen=True, slots=True)
class SearchedThroughGateway:
    """Retrieval over the public API, as one caller."""

    client: AsyncClient
    filter: Mapping[str, Any] | None = None
    k: int = SHOWN_K

    async def search(self, question: Question, caller: Caller) -> Retrieved:
        """See the port."""
        hints = question.hints
        filters = [each for each in (self.filter, hints.filter) if each]
        options: dict[str, Any] = {"filter": {"$and": filters}} if filters else {}
        result = await self.client.search(
            question.text,
            k=hints.k or self.k,
            max_per_document=5,
            freshness_weight=hints.freshness_weight,
            **options,
        )
        return Retrieved(tuple(map(_passage, result.hits)))

    async def search_batch(self, questions: Sequence[Question], caller: Caller) -> Sequence[Retrieved]:
        """See the port."""
        return [await self.search(question, caller) for question in questions]

    async def readable(self, keys: Sequence[CitationKey], caller: Caller) -> Sequence[bool]:
        """Everything was readable when it was found, a moment ago."""
        return [True for _ in keys]


def _passage(hit: Hit) -> Passage:
    place = Place(hit.location.heading_path)
    return Passage(hit.document_id, 0, hit.chunk_id, hit.text, hit.score, hit.similarity, hit.title, place=place)
