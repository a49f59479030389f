"""Histories with a reader whose replica of the heads follows the feed while workers die between commit and record.

The oracle is what the authority held, and when: whatever the replica serves was so at some moment not longer ago than
its staleness bound. That it does not serve yet what it may is no fault here; at the end it serves what the authority
says, and asks nobody for it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.checker import DOCUMENTS
from tests.simulation.histories import History, Told
from tests.simulation.lane_histories import LaneHistory
from tests.simulation.stores import WatchedHeads
from tests.simulation.virtual_time import VirtualLoop
from tests.unit.ingest.world import TENANT

from corpus.domain import DocumentKey, Head, HeadState, ServedHead
from corpus.feed import HEADS_TOPIC
from corpus.ports import PutOutcome
from corpus.replica import STALENESS_SECONDS, HeadsReplica

SLACK_SECONDS = 0.001
"""Virtual time moves a little with every step of the loop."""


def served_by(head: ServedHead) -> object:
    """What readers decide by; a head of another version that says the same serves as well."""
    return head.chunks_version, head.state, head.access, head.expires_at, head.generation


class RememberedHeads(WatchedHeads):
    """Heads that remember what they were, and since when."""

    def __init__(self, violations: list[str], now: Callable[[], float]) -> None:
        super().__init__(violations)
        self._now = now
        self._past: dict[DocumentKey, list[tuple[float, Head]]] = {}

    async def put(self, head: Head) -> PutOutcome:
        outcome = await super().put(head)
        if outcome is PutOutcome.APPLIED:
            self._past.setdefault(head.key, []).append((self._now(), head))
        return outcome

    def between(self, key: DocumentKey, begin: float, end: float) -> list[Head]:
        """Every head that the document had at some time between the two."""
        past = self._past.get(key, [])
        until = [since for since, _ in past[1:]] + [end]
        return [head for (since, head), gone in zip(past, until, strict=True) if since <= end and gone >= begin]


@dataclass
class FarHeads:
    """The authority across a network: some time passes before it looks, and some until its answer is there."""

    heads: RememberedHeads
    dice: random.Random
    asked: list[str] = field(default_factory=list)

    async def get(self, key: DocumentKey) -> Head | None:
        return (await self.get_many(key.tenant_id, [key.document_id])).get(key.document_id)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        self.asked += document_ids
        await asyncio.sleep(self.dice.uniform(0, 0.1))
        found = await self.heads.get_many(tenant_id, document_ids)
        await asyncio.sleep(self.dice.uniform(0, 0.1))
        return found


class ReplicaHistory(History):
    """One run with a reader beside it."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        super().__init__(seed, loop)
        self.nemesis.deadly = frozenset({"log.append"})
        self.stores.heads = self._heads = RememberedHeads(self.stores.violations, loop.time)
        self._now = loop.time
        self._reader_dice = random.Random(seed + 2)
        self._authority = FarHeads(self._heads, self._reader_dice)
        self._replica = HeadsReplica(self._authority, lambda: self.stores.log.reader(HEADS_TOPIC), self.clock)
        self.answered_from_memory = 0

    async def play(self) -> Told:
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._replica.run()),
            asyncio.create_task(self._read_for_ever()),
        ]
        try:
            told = await super().play()
            for task in tasks:
                if task.done():
                    task.result()
            await self._check_end()
            return told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_for_ever(self) -> None:
        while True:
            began, asked = self._now(), len(self._authority.asked)
            found = await self._replica.get_many(TENANT, DOCUMENTS)
            self.answered_from_memory += len(DOCUMENTS) - len(self._authority.asked) + asked
            for document_id, served in found.items():
                if served.state is HeadState.DELETED:
                    continue
                key = DocumentKey(TENANT, document_id)
                held = self._heads.between(key, began - STALENESS_SECONDS - SLACK_SECONDS, self._now())
                assert served_by(served) in map(served_by, held), (
                    f"{began:.3f}: {document_id} is served as of version {served.version}, which is no longer so"
                )
            await asyncio.sleep(self._reader_dice.uniform(0.0, 0.6))

    async def _check_end(self) -> None:
        """Nothing is left in doubt."""
        while not self._replica.is_current() or self._replica.unanswered():
            await asyncio.sleep(0.1)
        for _ in range(2):
            before = len(self._authority.asked)
            found = await self._replica.get_many(TENANT, DOCUMENTS)
        wanted = await self._heads.get_many(TENANT, DOCUMENTS)
        assert {name: (one.version, served_by(one)) for name, one in found.items()} == {
            name: (one.version, served_by(one)) for name, one in wanted.items()
        }
        assert self._authority.asked[before:] == [], "the replica still asks for what it could know"


class ReplicaLaneHistory(ReplicaHistory, LaneHistory):
    """One run over both lanes, where readers are taken long before their change is applied."""
