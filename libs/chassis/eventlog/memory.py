"""An event log in this process's memory, for unit tests and simulation: same contract, nothing survives the process."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chassis.eventlog.consumer import GroupConsumer
from chassis.eventlog.coordination import Seat, give_up, take_seats
from chassis.eventlog.engine import (
    LEASE_SECONDS,
    Fetched,
    Member,
    Read,
    Standing,
    check_partition_count,
    producer_closed,
    share_of,
    topic_mismatch,
    topic_missing,
)
from chassis.eventlog.partitioner import partition_of
from chassis.eventlog.port import Partition, Position, Record
from chassis.eventlog.reader import TopicReader


@dataclass(slots=True)
class _Topic:
    compacted: bool
    partitions: list[list[Record]]
    next_offsets: list[int]


@dataclass(slots=True)
class _Group:
    seats: dict[int, Seat]
    committed: dict[int, int]
    leases: dict[str, float] = field(default_factory=dict)
    epoch: int = 0


class _MemoryEngine:
    """State of the log; every method finishes without giving way to another task, so each is atomic."""

    def __init__(self, now_seconds: Callable[[], float]) -> None:
        self.now_seconds = now_seconds
        self.topics: dict[str, _Topic] = {}
        self._groups: dict[tuple[str, str], _Group] = {}
        self._changes = 0
        # In the order of their calls, which makes simulations replay.
        self._waiting: dict[asyncio.Event, None] = {}

    def topic(self, name: str) -> _Topic:
        if name not in self.topics:
            raise topic_missing(name)
        return self.topics[name]

    def append(self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> Position:
        log = self.topic(topic)
        partition = Partition(topic, partition_of(key, len(log.partitions)))
        offset = log.next_offsets[partition.index]
        log.next_offsets[partition.index] += 1
        records = log.partitions[partition.index]
        if log.compacted:
            records[:] = [record for record in records if record.key != key]
        records.append(Record(partition, offset, key, value, dict(headers), int(self.now_seconds() * 1000)))
        self._changed()
        return Position(partition, offset)

    async def look(self, member: Member) -> Standing:
        group = self._group(member.topic, member.group)
        now = self.now_seconds()
        leases = {m: end for m, end in group.leases.items() if end > now} | {member.member_id: now + LEASE_SECONDS}
        seats = take_seats(group.seats, leases.keys(), member.member_id)
        if seats != group.seats or leases.keys() != group.leases.keys():
            self._group_changed(group)
        group.seats, group.leases = seats, leases
        return _standing(group, member)

    async def release(self, member: Member, indexes: frozenset[int]) -> Standing:
        group = self._group(member.topic, member.group)
        group.seats = give_up(group.seats, member.member_id, indexes)
        self._group_changed(group)
        return _standing(group, member)

    async def leave(self, member: Member) -> None:
        group = self._group(member.topic, member.group)
        if group.leases.pop(member.member_id, None) is not None:
            group.seats = give_up(group.seats, member.member_id, group.seats.keys())
            self._group_changed(group)

    async def fetch(self, member: Member, positions: Mapping[int, int], max_records: int) -> Fetched:
        records = self._records(self.topic(member.topic), positions, max_records)
        return Fetched(self._group(member.topic, member.group).epoch, records)

    async def read(self, topic: str, positions: Mapping[int, int], max_records: int) -> Read:
        log = self.topic(topic)
        return Read(dict(enumerate(log.next_offsets)), self._records(log, positions, max_records))

    async def ends(self, topic: str) -> Mapping[int, int]:
        return dict(enumerate(self.topic(topic).next_offsets))

    @staticmethod
    def _records(log: _Topic, positions: Mapping[int, int], max_records: int) -> list[Record]:
        found: list[Record] = []
        for turn, (index, position) in enumerate(positions.items()):
            share = share_of(max_records, len(found), len(positions) - turn)
            records = log.partitions[index]
            first = bisect_left(records, position, key=lambda record: record.offset)
            found += records[first : first + share]
        return found

    async def commit(self, member: Member, offsets: Mapping[int, int], fences: Mapping[int, int]) -> None:
        group = self._group(member.topic, member.group)
        log = self.topic(member.topic)
        for index, offset in offsets.items():
            seat = group.seats[index]
            if seat.owner == member.member_id and seat.fence == fences[index]:
                group.committed[index] = max(group.committed[index], min(offset, log.next_offsets[index]))

    async def lag(self, topic: str, group: str) -> Mapping[int, int]:
        log = self.topic(topic)
        known = self._groups.get((topic, group))
        committed = known.committed if known else dict.fromkeys(range(len(log.partitions)), 0)
        return {index: end - committed[index] for index, end in enumerate(log.next_offsets)}

    def change_count(self) -> int:
        return self._changes

    async def wait_for_change(self, seen: int, timeout_seconds: float) -> None:
        if seen != self._changes:
            return
        event = asyncio.Event()
        self._waiting[event] = None
        try:
            async with asyncio.timeout(timeout_seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting.pop(event, None)

    def _group(self, topic: str, name: str) -> _Group:
        group = self._groups.get((topic, name))
        if group is None:
            count = len(self.topic(topic).partitions)
            group = _Group({i: Seat() for i in range(count)}, dict.fromkeys(range(count), 0))
            self._groups[topic, name] = group
        return group

    def _group_changed(self, group: _Group) -> None:
        group.epoch += 1
        self._changed()

    def _changed(self) -> None:
        self._changes += 1
        for event in self._waiting:
            event.set()


def _standing(group: _Group, member: Member) -> Standing:
    mine = {i: seat for i, seat in group.seats.items() if seat.owner == member.member_id}
    return Standing(
        epoch=group.epoch,
        fences={i: seat.fence for i, seat in mine.items()},
        leaving=frozenset(i for i, seat in mine.items() if seat.target != member.member_id),
        committed=dict(group.committed),
    )


class MemoryProducer:
    """Appends to a ``MemoryEventLog``."""

    def __init__(self, engine: _MemoryEngine) -> None:
        self._engine = engine
        self._closed = False

    async def append(
        self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Position:
        """Appends one record; see the port."""
        if self._closed:
            raise producer_closed()
        return self._engine.append(topic, key, value, headers or {})

    async def close(self) -> None:
        """Nothing is ever under way. Idempotent."""
        self._closed = True


class MemoryEventLog:
    """Event log in memory; leases follow ``now_seconds``, waiting follows the event loop's clock."""

    def __init__(self, now_seconds: Callable[[], float] = time.time) -> None:
        self._engine = _MemoryEngine(now_seconds)
        self._producers: list[MemoryProducer] = []
        self._consumers: list[GroupConsumer] = []
        self._readers: list[TopicReader] = []

    async def ensure_topic(self, topic: str, partitions: int, *, compacted: bool = False) -> None:
        """Creates the topic when it is missing; see the port."""
        check_partition_count(partitions)
        present = self._engine.topics.get(topic)
        if present is None:
            self._engine.topics[topic] = _Topic(compacted, [[] for _ in range(partitions)], [0] * partitions)
        elif len(present.partitions) != partitions or present.compacted != compacted:
            raise topic_mismatch(topic)

    def producer(self) -> MemoryProducer:
        """Another producer."""
        self._producers.append(MemoryProducer(self._engine))
        return self._producers[-1]

    def consumer(self, topic: str, group: str) -> GroupConsumer:
        """Another consumer."""
        self._consumers.append(GroupConsumer(self._engine, topic, group))
        return self._consumers[-1]

    def reader(self, topic: str) -> TopicReader:
        """Another reader."""
        self._readers.append(TopicReader(self._engine, topic))
        return self._readers[-1]

    async def close(self) -> None:
        """Closes every producer, consumer and reader made here. Idempotent."""
        for reader in self._readers:
            await reader.stop()
        for producer in self._producers:
            await producer.close()
        for consumer in self._consumers:
            await consumer.stop()
