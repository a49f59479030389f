"""Port of the event log: durable, partitioned, ordered per key.

Nouns
    **Topic**: a named log. **Partition**: an ordered part of a topic; a key always lands in the same partition of a
    topic as long as the topic's partition count stays. **Offset**: position of a record in its partition; offsets are
    not versions and start anew when a topic is recreated. **Group**: consumers that share the work of a topic; the
    log keeps one committed offset per (group, topic, partition): the offset of the next record to hand out after a
    restart. **Lag**: records appended and not yet committed by a group. **Reader**: someone outside every group who
    reads all of a topic from its beginning, for instance to rebuild a table from a compacted one.

Delivery is at least once: a record is handed out again after a crash, a rebalance or a missing commit, never skipped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of one topic."""

    topic: str
    index: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was appended.

    ``value`` None is a tombstone (deletes the key on a compacted topic). ``timestamp_ms`` is the append time, Unix
    epoch.
    """

    partition: Partition
    offset: int
    key: bytes
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    timestamp_ms: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record was appended."""

    partition: Partition
    offset: int


class Producer(Protocol):
    """Appends records."""

    async def append(
        self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Position:
        """Appends one record and returns once it is durable (it survives the crash of this process and of the log's).

        Records of one producer with one key keep their order. Not idempotent: a call that was repeated after an
        unknown outcome may leave two records. Raises DependencyUnavailable, Overloaded, DeadlineExceeded; after any
        of them the outcome is unknown. Raises FailedPrecondition
        TOPIC_MISSING for a topic that was never created.
        """
        ...

    async def close(self) -> None:
        """Waits for what is under way and releases resources. Idempotent."""
        ...


RevokedCallback = Callable[[Collection[Partition]], Awaitable[None]]


class Consumer(Protocol):
    """One member of a group, reading one topic. Not safe for concurrent use, except that ``lag`` may be called at any
    time."""

    async def start(self, on_revoked: RevokedCallback | None = None) -> None:
        """Joins the group. ``on_revoked`` is awaited before partitions pass to another member: afterwards a commit
        for them is refused silently, because the new owner decides. It may be awaited at any time until ``stop``, also
        while another call of this member is under way, and name partitions that this member has again soon after: then
        everything after their committed offset is handed out again. Raises FailedPrecondition TOPIC_MISSING,
        DependencyUnavailable; may be called again after the latter."""
        ...

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Next records of the assigned partitions that are not paused, in offset order per partition.

        Waits up to ``timeout_seconds`` for the first one; returns an empty sequence when there is none at hand: a log
        across a network may need longer than a short time-out to find one. Must be called at least every 20 s, also
        while everything is paused, or the group may hand the partitions to another member. Raises
        DependencyUnavailable, and then has handed out nothing: a later poll returns these records.
        """
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Durably records, per partition, the offset of the next record to hand out. Idempotent; a smaller offset than
        the committed one is ignored; partitions no longer assigned are ignored. Raises DependencyUnavailable."""
        ...

    async def seek_to_committed(self, partition: Partition) -> None:
        """Hands out again everything after the committed offset of ``partition``."""
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Hands out nothing of ``partitions`` until ``resume``; survives rebalances as long as they stay assigned.
        Idempotent."""
        ...

    def resume(self, partitions: Collection[Partition]) -> None:
        """Undoes ``pause``. Idempotent."""
        ...

    def assignment(self) -> frozenset[Partition]:
        """Partitions handed to this member now."""
        ...

    async def lag(self) -> Mapping[Partition, int]:
        """Records not committed by the group, for every partition of the topic."""
        ...

    async def stop(self) -> None:
        """Leaves the group without committing. Idempotent; bounded in time."""
        ...


class LogReader(Protocol):
    """Reads one whole topic from its beginning, outside any group: every reader gets every record, nothing is
    committed, and a new reader begins anew. On a compacted topic it gets at least the newest record of each key, and
    gaps between offsets are normal. Not safe for concurrent use, except that ``behind`` may be called at any time.

    Silence is no proof of being current: a log that can't be reached is silent too. ``behind`` asks it.
    """

    async def start(self) -> None:
        """Takes the beginning of the topic as its position. Idempotent. Raises FailedPrecondition TOPIC_MISSING,
        DependencyUnavailable; may be called again after the latter."""
        ...

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Next records of all partitions, in offset order per partition.

        Waits up to ``timeout_seconds`` for the first one; returns an empty sequence when there is none *or none can be
        had*. A poll that was cancelled has handed out nothing. Need not be called at any pace. Raises
        DependencyUnavailable, and then has handed out nothing: a later poll returns these records; FailedPrecondition
        LOG_TRUNCATED when the topic was created anew or lost records that this reader was handed: only a new reader
        can go on.
        """
        ...

    async def behind(self) -> int:
        """Records from this reader's positions to the ends of the topic that the log confirms during this call: 0 means
        that everything whose append had returned before the call was handed out. On a compacted topic records that
        are gone may count, until a poll returned nothing. Raises DependencyUnavailable when the log can't be asked,
        FailedPrecondition LOG_TRUNCATED as ``poll``."""
        ...

    async def stop(self) -> None:
        """Ends reading. Idempotent; bounded in time."""
        ...


class EventLog(Protocol):
    """A log engine: creates topics, producers, consumers and readers."""

    async def ensure_topic(self, topic: str, partitions: int, *, compacted: bool = False) -> None:
        """Creates the topic when it is missing. Idempotent; an existing topic keeps its partition count. Raises
        FailedPrecondition TOPIC_MISMATCH when it exists with another count or clean-up policy."""
        ...

    def producer(self) -> Producer: ...

    def consumer(self, topic: str, group: str) -> Consumer: ...

    def reader(self, topic: str) -> LogReader: ...

    async def close(self) -> None:
        """Closes every producer, consumer and reader made here. Idempotent."""
        ...
