"""A survey leaves the event loop to others."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tests.unit.ingest.audits import audits
from tests.unit.ingest.world import TENANT, World

from chassis.clock import ManualClock
from corpus.domain import IndexedRow
from ingest.audit.survey import Pace


class NotingPage(list[IndexedRow]):
    """Notes which thread goes through it."""

    def __init__(self, rows: Sequence[IndexedRow], threads: set[int]) -> None:
        super().__init__(rows)
        self._threads = threads

    def __iter__(self) -> Iterator[IndexedRow]:
        self._threads.add(threading.get_ident())
        return super().__iter__()


@dataclass(slots=True)
class NotingIndex:
    """An index of which only scans are asked."""

    inner: Any
    threads: set[int] = field(default_factory=set)

    async def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        async for page in self.inner.scan(generation, tenant_id):
            yield NotingPage(page, self.threads)


class NotingClock(ManualClock):
    """Notes which thread looks at each document's past."""

    threads: set[int]

    def now(self) -> datetime:
        self.threads.add(threading.get_ident())
        return super().now()


async def test_ids_and_hashes_of_rows_are_made_beside_the_event_loop() -> None:
    async with World() as world:
        for n in range(3):
            await world.apply.apply(await world.upsert(f"d{n}", 1, f"text {n}"))
        [lost, *_] = await world.stores.lexical.chunk_ids(world.generation.current().name, TENANT)
        await world.stores.lexical.delete(world.generation.current().name, TENANT, [lost])
        survey = audits(world).survey
        clock = NotingClock(world.clock.now())
        clock.threads = set()
        vectors: Any = NotingIndex(survey.vectors)
        lexical: Any = NotingIndex(survey.lexical)
        seen = await replace(survey, vectors=vectors, lexical=lexical, clock=clock).survey(TENANT, Pace())
        assert len(seen.suspects) == 1
        assert vectors.threads
        assert lexical.threads
        assert clock.threads
        assert threading.get_ident() not in vectors.threads | lexical.threads | clock.threads
