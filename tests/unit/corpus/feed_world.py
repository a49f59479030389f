"""A replica over an authority and a feed that can be made to fail, to wait and to lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.contract.corpus_samples import head, tombstone

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, FailedPrecondition
from chassis.eventlog.memory import MemoryEventLog
from chassis.eventlog.port import LogReader, Record
from corpus.adapters.memory.heads import MemoryHeads
from corpus.domain import AccessPolicy, DocumentKey, Head, HeadState
from corpus.feed import HEADS_TOPIC, encode_head, record_key
from corpus.replica import HeadsReplica

STALENESS_SECONDS = 0.5


def readable_by(*tokens: str) -> AccessPolicy:
    return AccessPolicy(frozenset(tokens))


@dataclass
class Authority:
    """Heads that count questions, wait at a gate after they have looked, and fail on demand."""

    heads: MemoryHeads = field(default_factory=MemoryHeads)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    gate: asyncio.Event | None = None
    """While set: an answer is made at once and given when the gate opens."""

    async def get(self, key: DocumentKey) -> Head | None:
        return (await self.get_many(key.tenant_id, [key.document_id])).get(key.document_id)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        self.asked += document_ids
        if self.down:
            raise DependencyUnavailable("Down.", reason="DOWN")
        found = await self.heads.get_many(tenant_id, document_ids)
        if self.gate is not None:
            await self.gate.wait()
        return found


@dataclass
class Feed:
    """The log's reader with a plug to pull."""

    log: MemoryEventLog
    down: bool = False
    silent: bool = False
    """Records don't come, and nobody says so."""
    truncated: bool = False
    """The topic was created anew; true of the readers that are open."""
    opened: int = 0

    def open(self) -> LogReader:
        self.opened += 1
        self.truncated = False
        return _Reader(self, self.log.reader(HEADS_TOPIC))


@dataclass
class _Reader:
    feed: Feed
    inner: LogReader

    async def start(self) -> None:
        self._check()
        await self.inner.start()

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        self._check()
        await asyncio.sleep(0)
        return () if self.feed.silent else await self.inner.poll(max_records, 0.001)

    async def behind(self) -> int:
        self._check()
        return await self.inner.behind()

    async def stop(self) -> None:
        await self.inner.stop()

    def _check(self) -> None:
        if self.feed.down:
            raise DependencyUnavailable("Down.", reason="DOWN")
        if self.feed.truncated:
            raise FailedPrecondition("Another log.", reason="LOG_TRUNCATED")


class ReplicaWorld:
    """An authority, a feed and a replica of its own, which ``following`` runs."""

    def __init__(self, max_heads: int = 1000) -> None:
        self.clock = ManualClock()
        self.authority = Authority()
        self.log = MemoryEventLog()
        self.feed = Feed(self.log)
        self.producer = self.log.producer()
        self.replica = HeadsReplica(
            self.authority, self.feed.open, self.clock, staleness_seconds=STALENESS_SECONDS, max_heads=max_heads
        )

    @asynccontextmanager
    async def following(self) -> AsyncIterator[ReplicaWorld]:
        await self.log.ensure_topic(HEADS_TOPIC, 3, compacted=True)
        task = asyncio.create_task(self.replica.run())
        try:
            if not self.feed.down:
                await self.settled()
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.log.close()

    # -- writing --------------------------------------------------------------------------------------------------

    async def put(self, document_id: str, version: int, *tokens: str) -> Head:
        """Writes a head without telling the feed."""
        written = head(document_id, version, access=readable_by(*tokens))
        await self.authority.heads.put(written)
        return written

    async def publish(self, written: Head) -> None:
        key = record_key(written.key.tenant_id, written.key.document_id)
        await self.producer.append(HEADS_TOPIC, key, encode_head(written))

    async def write(self, document_id: str, version: int, *tokens: str) -> Head:
        """Writes a head as ingestion does."""
        written = await self.put(document_id, version, *tokens)
        await self.publish(written)
        return written

    # -- looking --------------------------------------------------------------------------------------------------

    async def read(self, document_id: str) -> tuple[int, frozenset[str]] | None:
        """Version and readers, None where nothing is live."""
        found = (await self.replica.get_many("acme", [document_id])).get(document_id)
        return None if found is None or found.state is not HeadState.LIVE else (found.version, found.access.tokens)

    async def settled(self) -> None:
        """Waits until the replica has the feed as it is now, and has asked for everything that it named."""
        self.clock.advance(STALENESS_SECONDS * 2)
        await until(lambda: self.replica.is_current() and not self.replica.unanswered())

    async def known(self, document_id: str) -> bool:
        """Whether the replica answers for the document without asking."""
        before = len(self.authority.asked)
        await self.replica.get_many("acme", [document_id])
        return len(self.authority.asked) == before


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def bury(world: ReplicaWorld, document_id: str, version: int) -> Head:
    """Deletes a document in the authority; the feed is not told."""
    buried = tombstone(document_id, version)
    await world.authority.heads.put(buried)
    return buried


async def eventually(world: ReplicaWorld, document_id: str, wanted: tuple[int, frozenset[str]] | None) -> bool:
    """Whether a document is at last read as wanted: (version, access tokens), or None."""
    read: Callable[[], Awaitable[object]] = lambda: world.read(document_id)  # noqa: E731
    async with asyncio.timeout(5):
        while await read() != wanted:
            await asyncio.sleep(0.001)
    return True
