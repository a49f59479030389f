"""Live questions on the generation beside the active one: a sampled share of searches is made there once more, after
the caller was answered, and compared. Only figures are kept: what was asked and found is forgotten at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass

from chassis.errors import HeadwaterError
from chassis.identity import Caller
from chassis.telemetry import logger
from chassis.telemetry.metrics import (
    RETRIEVAL_SHADOW_DURATION,
    RETRIEVAL_SHADOW_FAILURES,
    RETRIEVAL_SHADOW_OVERLAP,
)
from corpus.domain import Generation
from retriever.catalogue import Catalogue
from retriever.domain import Query, SearchResult
from retriever.service import SearchPassages

_log = logger("retriever.shadow")


@dataclass(frozen=True, slots=True)
class _Sampled:
    caller: Caller
    query: Query
    documents: Sequence[str]
    seconds: float
    generation: Generation
    context: Context


class ShadowSearches:
    """Makes sampled searches once more, one at a time; those that come meanwhile are left out.

    Args:
        searches: Whoever made them the first time.
        catalogue: Knows whether there is a shadow.
        share: Of the searches, 0 to 1.
    """

    def __init__(self, searches: SearchPassages, catalogue: Catalogue, share: float) -> None:
        self._searches = searches
        self._catalogue = catalogue
        self._share = share
        self._waiting: asyncio.Queue[_Sampled] = asyncio.Queue(maxsize=1)
        # Whom it meets decides nothing.
        self._dice = random.Random()  # noqa: S311

    def consider(self, caller: Caller, query: Query, result: SearchResult, seconds: float) -> None:
        """Takes a search that was answered into the sample, or not. Returns at once."""
        if not self._share or query.generation or result.degraded or self._dice.random() >= self._share:
            return
        shadow = self._catalogue.shadow()
        if shadow is not None and not self._waiting.full():
            documents = _documents(result)
            sampled = _Sampled(caller, query, documents, seconds, shadow, copy_context())
            self._waiting.put_nowait(sampled)

    async def run(self) -> None:
        """Works for ever."""
        while True:
            await self.once()

    async def once(self) -> None:
        """Waits for one sampled search and makes it again, in the name and within the deadline of its caller."""
        sampled = await self._waiting.get()
        again = asyncio.create_task(self._again(sampled), context=sampled.context)
        try:
            await again
        finally:
            again.cancel()

    async def _again(self, sampled: _Sampled) -> None:
        began = time.perf_counter()
        try:
            result = await self._searches.search_in(sampled.generation, sampled.caller, sampled.query)
        except HeadwaterError as error:
            RETRIEVAL_SHADOW_FAILURES.add(reason=error.reason)
            return
        except Exception as error:
            # A defect that only shows there must not end the service that answers.
            RETRIEVAL_SHADOW_FAILURES.add(reason="DEFECT")
            _log.error("a shadow search failed", error=type(error).__name__)
            return
        RETRIEVAL_SHADOW_DURATION.record(sampled.seconds, generation="active")
        RETRIEVAL_SHADOW_DURATION.record(time.perf_counter() - began, generation="shadow")
        first, second = set(sampled.documents), set(_documents(result))
        most = max(len(first), len(second))
        RETRIEVAL_SHADOW_OVERLAP.record(len(first & second) / most if most else 1.0)


def _documents(result: SearchResult) -> list[str]:
    return list(dict.fromkeys(hit.head.key.document_id for hit in result.hits))
