"""The embedded event log: one SQLite file that the processes of one machine share.

An append is durable when it returns (WAL, ``synchronous = FULL``); appends that wait at the same time share one
transaction and one fsync. Consumers of one group in several processes divide the partitions among themselves by leases,
see ``coordination``.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from chassis.errors import DependencyUnavailable, Overloaded
from chassis.eventlog import sqlite_groups, sqlite_records
from chassis.eventlog.consumer import GroupConsumer
from chassis.eventlog.engine import Fetched, Member, Read, Standing, check_partition_count, producer_closed
from chassis.eventlog.port import Position
from chassis.eventlog.process_lock import ProcessLock
from chassis.eventlog.reader import TopicReader
from chassis.eventlog.sqlite_retention import clean_one_step
from chassis.eventlog.sqlite_schema import MIGRATIONS
from chassis.sqlite.readers import ReaderPool
from chassis.sqlite.watcher import ChangeWatcher
from chassis.sqlite.writer import GroupCommitWriter

RETENTION_SECONDS = 7 * 24 * 3600.0
"""How long committed records stay, for replays; a week, as Kafka's default."""

CLEAN_EVERY_RECORDS = 2000
"""Appends between two clean-ups: often enough to bound the file, rare enough not to matter."""

_log = logging.getLogger(__name__)


class _SqliteEngine:
    """Storage and group state in one file."""

    def __init__(self, path: Path, now_seconds: Callable[[], float], retention_seconds: float) -> None:
        self._now = now_seconds
        self._retention_ms = int(retention_seconds * 1000)
        self._process = ProcessLock(path.with_name(path.name + ".processes"))
        self._watcher = ChangeWatcher(path, MIGRATIONS)
        self._writer = GroupCommitWriter(path, MIGRATIONS)
        self._writer.on_commit = self._watcher.notify
        self._reader = ReaderPool(path, MIGRATIONS, threads=1)
        self._appended = 0
        self._cleaning: asyncio.Task[None] | None = None

    async def ensure_topic(self, topic: str, partitions: int, compacted: bool) -> None:
        await self._writer.run(lambda c: sqlite_records.create_topic(c, topic, partitions, compacted))

    async def append(self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> Position:
        position = await self._writer.run(lambda c: sqlite_records.append(c, topic, key, value, headers, self._now()))
        self._appended += 1
        if self._appended >= CLEAN_EVERY_RECORDS and (self._cleaning is None or self._cleaning.done()):
            self._appended = 0
            self._cleaning = asyncio.get_running_loop().create_task(self._clean(), name="event-log-clean-up")
        return position

    async def look(self, member: Member) -> Standing:
        def work(connection: sqlite3.Connection) -> Standing:
            return sqlite_groups.look(connection, member, self._process.name(), self._now(), self._process.is_alive)

        return await self._writer.run(work)

    async def release(self, member: Member, indexes: frozenset[int]) -> Standing:
        return await self._writer.run(lambda c: sqlite_groups.release(c, member, indexes))

    async def leave(self, member: Member) -> None:
        await self._writer.run(lambda c: sqlite_groups.leave(c, member))

    async def fetch(self, member: Member, positions: Mapping[int, int], max_records: int) -> Fetched:
        def read(connection: sqlite3.Connection) -> Fetched:
            # Records first: if the epoch read after them is the one that the member knows, it owned them all the while.
            topic_id, _ = sqlite_records.topic_of(connection, member.topic)
            records = sqlite_records.fetch(connection, member.topic, topic_id, positions, max_records)
            return Fetched(sqlite_groups.epoch_of(connection, member.topic, member.group)[1], records)

        return await self._reader.run(read)

    async def read(self, topic: str, positions: Mapping[int, int], max_records: int) -> Read:
        def read(connection: sqlite3.Connection) -> Read:
            # Ends first: a record that comes in between is beyond them, and found at the next read.
            ends = sqlite_records.ends(connection, topic)
            topic_id, _ = sqlite_records.topic_of(connection, topic)
            return Read(ends, sqlite_records.fetch(connection, topic, topic_id, positions, max_records))

        return await self._reader.run(read)

    async def ends(self, topic: str) -> Mapping[int, int]:
        return await self._reader.run(lambda c: sqlite_records.ends(c, topic))

    async def commit(self, member: Member, offsets: Mapping[int, int], fences: Mapping[int, int]) -> None:
        await self._writer.run(lambda c: sqlite_groups.commit(c, member, offsets, fences))

    async def lag(self, topic: str, group: str) -> Mapping[int, int]:
        return await self._reader.run(lambda c: sqlite_groups.lag(c, topic, group))

    def change_count(self) -> int:
        return self._watcher.count()

    async def wait_for_change(self, seen: int, timeout_seconds: float) -> None:
        await self._watcher.wait(seen, timeout_seconds)

    async def clean(self) -> None:
        """Removes everything that retention and compaction allow, step by step."""
        now_ms = int(self._now() * 1000)
        while await self._writer.run(lambda c: clean_one_step(c, now_ms, self._retention_ms)):
            pass

    async def close(self) -> None:
        if self._cleaning is not None:
            await asyncio.wait([self._cleaning])
        await self._watcher.close()
        await self._writer.close()
        await self._reader.close()
        self._process.close()

    async def _clean(self) -> None:
        try:
            await self.clean()
        except (DependencyUnavailable, Overloaded) as error:
            _log.warning("cleaning the event log failed and is tried again later: %s", error.reason)


class SqliteProducer:
    """Appends to a ``SqliteEventLog``; see the port."""

    def __init__(self, engine: _SqliteEngine) -> None:
        self._engine = engine
        self._under_way: set[asyncio.Task[Position]] = set()
        self._closed = False

    async def append(
        self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Position:
        """Appends one record; see the port."""
        if self._closed:
            raise producer_closed()
        # A task of its own, so that ``close`` can wait for it; the order of appends is the order in which tasks are
        # created.
        task = asyncio.get_running_loop().create_task(self._engine.append(topic, key, value, headers or {}))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await task

    async def close(self) -> None:
        """Waits for appends under way. Idempotent."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(set(self._under_way))


class SqliteEventLog:
    """Event log in the file ``path``, shared by any number of processes of this machine.

    Args:
        path: The file; created with its directory at the first use.
        now_seconds: Wall clock that leases and retention follow.
        retention_seconds: How long records stay that every group has committed.
    """

    def __init__(
        self,
        path: Path,
        *,
        now_seconds: Callable[[], float] = time.time,
        retention_seconds: float = RETENTION_SECONDS,
    ) -> None:
        self._engine = _SqliteEngine(path, now_seconds, retention_seconds)
        self._producers: list[SqliteProducer] = []
        self._consumers: list[GroupConsumer] = []
        self._readers: list[TopicReader] = []
        self._closed = False

    async def ensure_topic(self, topic: str, partitions: int, *, compacted: bool = False) -> None:
        """Creates the topic when it is missing; see the port."""
        check_partition_count(partitions)
        await self._engine.ensure_topic(topic, partitions, compacted)

    def producer(self) -> SqliteProducer:
        """Another producer."""
        self._producers.append(SqliteProducer(self._engine))
        return self._producers[-1]

    def consumer(self, topic: str, group: str) -> GroupConsumer:
        """Another consumer."""
        self._consumers.append(GroupConsumer(self._engine, topic, group))
        return self._consumers[-1]

    def reader(self, topic: str) -> TopicReader:
        """Another reader."""
        self._readers.append(TopicReader(self._engine, topic))
        return self._readers[-1]

    async def clean(self) -> None:
        """Applies retention and compaction now, which otherwise happens after some thousand appends."""
        await self._engine.clean()

    async def close(self) -> None:
        """Closes every producer, consumer and reader made here, then the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for reader in self._readers:
            await reader.stop()
        for producer in self._producers:
            await producer.close()
        for consumer in self._consumers:
            await consumer.stop()
        await self._engine.close()
