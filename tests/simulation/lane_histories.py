"""Histories with two lanes: some upserts are a backfill, and overtaken by whatever comes live.

Here callers own their versions as a source does: they count up with every change of a document, and a call whose
outcome is unknown is repeated until it has one. Then the oracle is the fold by version, whatever overtook what.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.simulation.checker import Checker
from tests.simulation.histories import History
from tests.simulation.oracle import BAD, BAD_LEVEL, TEXTS
from tests.simulation.virtual_time import VirtualLoop
from tests.unit.ingest.world import WRITER, World

from chassis.errors import DeadlineExceeded, DependencyUnavailable, HeadwaterError
from ingest.adapters.event_log import TOPIC_OF
from ingest.codec import decode_change
from ingest.domain import Delete, DocumentChange, Lane, Receipt, SetAccess, Upsert


class LaneHistory(History):
    """One run over both lanes."""

    by_version = True

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        super().__init__(seed, loop)
        self._versions: Counter[str] = Counter()

    async def _work(self, world: World) -> None:
        live, bulk = world.lanes(max_in_flight=4, max_bulk=2)
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(live.run())
            lanes.create_task(bulk.run())

    def checker(self, api: World) -> Checker:
        return LaneChecker(api, self.stores, self.receipts)

    async def _change(self, api: World) -> None:
        document_id = self.dice.choice(self.documents)
        version = self._versions[document_id] + 1
        change = self._invent(document_id, version)
        lane = self.dice.choice((Lane.LIVE, Lane.BULK))
        while True:
            try:
                receipt = await self._call(api, document_id, version, change, lane)
            except (DependencyUnavailable, DeadlineExceeded):
                continue
            except HeadwaterError:
                return  # refused, and so no version: there is no document yet whose access could change
            break
        self._versions[document_id] = version
        self.receipts.append(receipt)

    async def _call(
        self, api: World, document_id: str, version: int, change: Upsert | Delete | SetAccess, lane: Lane
    ) -> Receipt:
        match change:
            case Upsert(draft=draft):
                text = BAD if draft.security_level == BAD_LEVEL else TEXTS[version % 2]
                return await api.accept.put(WRITER, draft, text, lane)
            case Delete():
                return await api.accept.delete(WRITER, document_id, version)
            case SetAccess(principals=principals, security_level=level):
                return await api.accept.set_access(WRITER, document_id, version, principals, level)


class LaneChecker(Checker):
    """Knows that a change may be in the log twice, in one lane or in both."""

    rows_are_known = False

    async def events(self) -> list[DocumentChange]:
        values = [value for topic in TOPIC_OF.values() for value in await self.world.values(topic)]
        return sorted(map(decode_change, values), key=lambda event: (event.key.document_id, event.version))
