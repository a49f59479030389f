"""The stores of a history: the memory adapters, watched for what must never happen to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.simulation.nemesis import Fault, Nemesis
from tests.unit.ingest.world import TENANT, Stores

from chassis.eventlog.consumer import GroupConsumer
from chassis.eventlog.memory import MemoryEventLog, MemoryProducer
from chassis.eventlog.port import Partition, Position, Record
from corpus.adapters.memory.change_ledger import MemoryChangeLedger
from corpus.adapters.memory.heads import MemoryHeads
from corpus.domain import ChangeState, DocumentKey, Head
from corpus.ports import PutOutcome
from ingest.adapters.event_log import TOPIC_OF
from ingest.codec import decode_change
from ingest.domain import DocumentChange

IDLE_SECONDS = 6.0
"""An idle worker of a simulation polls for so long, because its every turn takes real time."""


class WatchedHeads(MemoryHeads):
    """Heads that notice when one goes back."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__()
        self._violations = violations

    async def put(self, head: Head) -> PutOutcome:
        before = await self.get(head.key)
        outcome = await super().put(head)
        after = await self.get(head.key)
        if before is not None and (after is None or after.version < before.version):
            self._violations.append(f"the head of {head.key} went back from {before.version}")
        return outcome


class WatchedLedger(MemoryChangeLedger):
    """A ledger that notices when a change ends a second time, in another way."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__()
        self._violations = violations
        self.newest_applied: dict[DocumentKey, int] = {}
        """The greatest version of each document that was reported as applied."""

    async def finish(self, event_id: str, state: ChangeState, *, at: datetime, **more: Any) -> None:
        before = self._records.get(event_id)
        await super().finish(event_id, state, at=at, **more)
        after = self._records.get(event_id)
        if before is not None and before.state is not ChangeState.PENDING and after != before:
            self._violations.append(f"{event_id} had ended as {before.state}, and then ended again")
        if after is not None and after.state is ChangeState.APPLIED:
            self.newest_applied[after.key] = max(after.version, self.newest_applied.get(after.key, 0))

    async def drop_tenant(self, tenant_id: str) -> None:
        await super().drop_tenant(tenant_id)
        self.newest_applied = {key: each for key, each in self.newest_applied.items() if key.tenant_id != tenant_id}


class WatchedLog(MemoryEventLog):
    """A log that knows all changes in it, and delivers some records again."""

    def __init__(self, now_seconds: Callable[[], float], nemesis: Nemesis) -> None:
        super().__init__(now_seconds)
        self.changes: list[DocumentChange] = []
        """In the order of their appends. Of one document and lane, that is the order in the log."""
        self.nemesis = nemesis

    def producer(self) -> MemoryProducer:
        self._producers.append(_WatchedProducer(self._engine, self.changes))
        return self._producers[-1]

    def consumer(self, topic: str, group: str) -> GroupConsumer:
        self._consumers.append(_FaultyConsumer(self._engine, topic, group, self.nemesis))
        return self._consumers[-1]


class _WatchedProducer(MemoryProducer):
    def __init__(self, engine: Any, changes: list[DocumentChange]) -> None:
        super().__init__(engine)
        self._changes = changes

    async def append(
        self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Position:
        position = await super().append(topic, key, value, headers)
        if topic in TOPIC_OF.values() and value is not None:
            self._changes.append(decode_change(value))
        return position


class _FaultyConsumer(GroupConsumer):
    def __init__(self, engine: Any, topic: str, group: str, nemesis: Nemesis) -> None:
        super().__init__(engine, topic, group)
        self._nemesis = nemesis
        self._handed_out: dict[Partition, int] = {}

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        nemesis, known = self._nemesis, self._handed_out
        if nemesis.active and known and nemesis.dice.random() < nemesis.rate / 4:
            await self.seek_to_committed(nemesis.dice.choice(sorted(known)))
        records = await super().poll(max_records, IDLE_SECONDS if timeout_seconds >= 1.0 else timeout_seconds)
        for record in records:
            if record.offset <= known.get(record.partition, -1):
                nemesis.note("log", f"{record.partition.topic}/{record.partition.index}", Fault.REDELIVERED)
            known[record.partition] = max(record.offset, known.get(record.partition, -1))
        return records


class SimulatedStores(Stores):
    """Everything that outlives a worker."""

    def __init__(self, clock: Any, now_seconds: Callable[[], float], nemesis: Nemesis) -> None:
        super().__init__(clock, now_seconds)
        self.violations: list[str] = []
        """What was seen to happen, and must not."""
        self.heads = WatchedHeads(self.violations)
        self.ledger: WatchedLedger = WatchedLedger(self.violations)
        self.log: WatchedLog = WatchedLog(now_seconds, nemesis)

    async def of_this_tenant(self, changes: Sequence[DocumentChange]) -> list[DocumentChange]:
        """Those that were accepted for the tenant there is now, not for an earlier one of its name."""
        tenant = await self.tenants.named(TENANT)
        if tenant is None:
            return []
        of_its_id = (each for each in changes if each.key.tenant_id == tenant.tenant_id)
        return [each for each in of_its_id if each.accepted_at >= tenant.created_at]
