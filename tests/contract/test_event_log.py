"""Contract of the event log, over every adapter."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chassis.errors import DependencyUnavailable, FailedPrecondition, HeadwaterError, InvalidRequest
from chassis.eventlog import sqlite_retention
from chassis.eventlog.memory import MemoryEventLog
from chassis.eventlog.port import Consumer, EventLog, Partition, Record
from chassis.eventlog.sqlite import SqliteEventLog

ADAPTERS = (MemoryEventLog, SqliteEventLog)

TOPIC = "changes"
GROUP = "workers"
LEASE_SECONDS = 30.0  # longer than any adapter's


@dataclass
class World:
    """One adapter with a wall clock that the test moves."""

    make: Callable[[], EventLog]
    now: list[float] = field(default_factory=lambda: [time.time()])
    logs: list[EventLog] = field(default_factory=list)

    def log(self) -> EventLog:
        """The log as one process sees it; a second call is a second process, where the adapter knows processes."""
        self.logs.append(self.make())
        return self.logs[-1]

    def pass_time(self, seconds: float) -> None:
        self.now[0] += seconds


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    now = [time.time()]
    if request.param is SqliteEventLog:
        made = World(lambda: SqliteEventLog(tmp_path / "log.sqlite", now_seconds=lambda: now[0]), now)
    else:
        only = MemoryEventLog(lambda: now[0])
        made = World(lambda: only, now)
    yield made
    for log in made.logs:
        await log.close()


@pytest.fixture
async def log(world: World) -> EventLog:
    log = world.log()
    await log.ensure_topic(TOPIC, 4)
    return log


async def started(log: EventLog, group: str = GROUP, topic: str = TOPIC) -> Consumer:
    consumer = log.consumer(topic, group)
    await consumer.start()
    return consumer


async def fill(log: EventLog, count: int, keys: int = 20) -> None:
    producer = log.producer()
    await asyncio.gather(*(producer.append(TOPIC, b"key%d" % (i % keys), b"%d" % i) for i in range(count)))


async def drain(consumer: Consumer) -> list[Record]:
    found: list[Record] = []
    while records := await consumer.poll(100, 0):
        found += records
    return found


async def settle(*consumers: Consumer, until: Callable[[], bool]) -> None:
    """Polls everybody in turn, as live members do, until something holds."""
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline, [sorted(c.assignment()) for c in consumers]
        for consumer in consumers:
            await consumer.poll(1, 0.01)


def positions(records: Collection[Record]) -> set[tuple[int, int]]:
    return {(record.partition.index, record.offset) for record in records}


# Topics


async def test_creating_a_topic_twice_changes_nothing(log: EventLog) -> None:
    await fill(log, 5)
    await log.ensure_topic(TOPIC, 4)
    assert len(await drain(await started(log))) == 5


@pytest.mark.parametrize(("partitions", "compacted"), [(5, False), (4, True)])
async def test_a_topic_that_exists_otherwise_is_refused(log: EventLog, partitions: int, compacted: bool) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await log.ensure_topic(TOPIC, partitions, compacted=compacted)
    assert caught.value.reason == "TOPIC_MISMATCH"


async def test_a_topic_without_partitions_is_refused(log: EventLog) -> None:
    with pytest.raises(InvalidRequest):
        await log.ensure_topic("empty", 0)


async def test_a_topic_that_nobody_created_is_an_error_and_not_created_in_passing(log: EventLog) -> None:
    for attempt in (log.producer().append("missing", b"k", b"v"), log.consumer("missing", GROUP).start()):
        with pytest.raises(FailedPrecondition) as caught:
            await attempt
        assert caught.value.reason == "TOPIC_MISSING"


# Appending


async def test_records_come_back_as_they_were_appended(log: EventLog, world: World) -> None:
    headers = {"ce_type": b"upsert", "raw": bytes(range(256))}
    position = await log.producer().append(TOPIC, b"\x00key\xff", b"value\x00", headers)
    tombstone = await log.producer().append(TOPIC, b"gone", None)
    records = {record.key: record for record in await drain(await started(log))}
    record = records[b"\x00key\xff"]
    assert (record.partition, record.offset) == (position.partition, position.offset)
    assert (record.value, dict(record.headers)) == (b"value\x00", headers)
    assert abs(record.timestamp_ms - world.now[0] * 1000) < 60_000
    assert (records[b"gone"].value, records[b"gone"].headers) == (None, {})
    assert tombstone.partition in {Partition(TOPIC, i) for i in range(4)}


async def test_a_key_always_lands_in_the_same_partition_and_keys_spread_over_all(log: EventLog, world: World) -> None:
    async def place(log: EventLog, key: bytes) -> Partition:
        return (await log.producer().append(TOPIC, key, b"")).partition

    keys = [b"key%d" % i for i in range(40)]
    first = [await place(log, key) for key in keys]
    assert [await place(world.log(), key) for key in keys] == first
    assert set(first) == {Partition(TOPIC, i) for i in range(4)}


async def test_offsets_of_a_partition_count_up_from_zero(log: EventLog) -> None:
    producer = log.producer()
    offsets = [(await producer.append(TOPIC, b"one key", b"")).offset for _ in range(5)]
    assert offsets == [0, 1, 2, 3, 4]


async def test_records_of_one_producer_with_one_key_keep_their_order(log: EventLog) -> None:
    producer = log.producer()
    await asyncio.gather(*(producer.append(TOPIC, b"k", b"%d" % i) for i in range(300)))
    values = [record.value for record in await drain(await started(log))]
    assert values == [b"%d" % i for i in range(300)]


async def test_a_repeated_append_leaves_two_records(log: EventLog) -> None:
    producer = log.producer()
    await producer.append(TOPIC, b"k", b"same")
    await producer.append(TOPIC, b"k", b"same")
    assert len(await drain(await started(log))) == 2


async def test_closing_a_producer_waits_for_appends_under_way(log: EventLog) -> None:
    producer = log.producer()
    appends = [asyncio.ensure_future(producer.append(TOPIC, b"k", b"v")) for _ in range(50)]
    await asyncio.sleep(0)
    await producer.close()
    assert all(task.done() and task.exception() is None for task in appends)
    await producer.close()
    with pytest.raises(HeadwaterError):
        await producer.append(TOPIC, b"k", b"late")


# Polling


async def test_poll_hands_out_every_record_once_in_offset_order_per_partition(log: EventLog) -> None:
    await fill(log, 200)
    records = await drain(await started(log))
    assert len(records) == len(positions(records)) == 200
    for index in range(4):
        offsets = [record.offset for record in records if record.partition.index == index]
        assert offsets == list(range(len(offsets)))


async def test_poll_returns_no_more_than_asked_for_and_starves_no_partition(log: EventLog) -> None:
    await fill(log, 80)
    consumer = await started(log)
    sizes, seen = [], set()
    for _ in range(8):
        records = await consumer.poll(1, 0)
        sizes.append(len(records))
        seen |= {record.partition.index for record in records}
    assert max(sizes) == 1
    assert seen == {0, 1, 2, 3}


async def test_poll_without_records_waits_for_its_time_and_returns_nothing(log: EventLog) -> None:
    consumer = await started(log)
    before = time.monotonic()
    assert list(await consumer.poll(10, 0.15)) == []
    assert 0.1 <= time.monotonic() - before < 5


async def test_poll_wakes_when_a_record_is_appended_here_or_by_another_process(log: EventLog, world: World) -> None:
    consumer = await started(log)
    for producer in (log.producer(), world.log().producer()):
        waiting = asyncio.ensure_future(consumer.poll(10, 30))
        await asyncio.sleep(0.05)
        before = time.monotonic()
        await producer.append(TOPIC, b"k", b"v")
        assert len(await waiting) == 1
        assert time.monotonic() - before < 2


async def test_a_cancelled_poll_loses_no_record(log: EventLog) -> None:
    consumer = await started(log)
    waiting = asyncio.ensure_future(consumer.poll(10, 30))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await fill(log, 3)
    assert len(await drain(consumer)) == 3


async def test_a_paused_partition_hands_out_nothing_until_it_is_resumed(log: EventLog) -> None:
    consumer = await started(log)
    await fill(log, 40)
    paused = {Partition(TOPIC, 1), Partition(TOPIC, 2)}
    consumer.pause(paused)
    consumer.pause(paused)
    assert {record.partition.index for record in await drain(consumer)} == {0, 3}
    consumer.resume(paused)
    consumer.resume(paused)
    assert {record.partition.index for record in await drain(consumer)} == {1, 2}


async def test_poll_with_everything_paused_waits_and_returns_nothing(log: EventLog) -> None:
    consumer = await started(log)
    await fill(log, 4)
    consumer.pause(consumer.assignment())
    assert list(await consumer.poll(10, 0.1)) == []


async def test_polling_a_consumer_that_is_not_started_or_stopped_is_refused(log: EventLog) -> None:
    consumer = log.consumer(TOPIC, GROUP)
    with pytest.raises(FailedPrecondition):
        await consumer.poll(1, 0)
    await consumer.start()
    await consumer.stop()
    with pytest.raises(FailedPrecondition):
        await consumer.poll(1, 0)


# Committing


async def test_a_new_member_begins_at_the_committed_offsets(log: EventLog) -> None:
    await fill(log, 40)
    first = await started(log)
    records = await drain(first)
    kept = {r for r in positions(records) if r[1] >= 3}
    await first.commit({Partition(TOPIC, i): 3 for i in range(4)})
    await first.stop()
    assert positions(await drain(await started(log))) == kept


async def test_what_was_not_committed_is_handed_out_again(log: EventLog) -> None:
    await fill(log, 10)
    first = await started(log)
    assert len(await drain(first)) == 10
    await first.stop()
    assert len(await drain(await started(log))) == 10


async def test_groups_do_not_see_each_other(log: EventLog) -> None:
    await fill(log, 10)
    one, other = await started(log, "one"), await started(log, "other")
    assert len(await drain(one)) == len(await drain(other)) == 10
    await one.commit(dict.fromkeys(one.assignment(), 100))
    assert sum((await one.lag()).values()) == 0
    assert sum((await other.lag()).values()) == 10


async def test_a_smaller_or_repeated_commit_changes_nothing(log: EventLog) -> None:
    producer = log.producer()
    for _ in range(10):
        partition = (await producer.append(TOPIC, b"k", b"v")).partition
    consumer = await started(log)
    for offset in (7, 7, 2, 0):
        await consumer.commit({partition: offset})
        assert (await consumer.lag())[partition] == 3


async def test_a_commit_beyond_the_end_does_not_skip_later_records(log: EventLog) -> None:
    producer = log.producer()
    partition = (await producer.append(TOPIC, b"k", b"1")).partition
    consumer = await started(log)
    await consumer.commit({partition: 1000})
    await consumer.stop()
    await producer.append(TOPIC, b"k", b"2")
    assert [record.value for record in await drain(await started(log))] == [b"2"]


async def test_a_commit_for_a_partition_that_is_not_assigned_is_ignored(log: EventLog) -> None:
    await fill(log, 10)
    consumer = await started(log)
    await consumer.commit({Partition(TOPIC, 99): 5, Partition("other topic", 0): 5})
    await consumer.stop()
    await consumer.commit({Partition(TOPIC, 0): 5})
    assert sum((await consumer.lag()).values()) == 10


async def test_seeking_hands_out_everything_after_the_committed_offset_again(log: EventLog) -> None:
    producer = log.producer()
    for i in range(6):
        partition = (await producer.append(TOPIC, b"k", b"%d" % i)).partition
    consumer = await started(log)
    await drain(consumer)
    await consumer.commit({partition: 2})
    await consumer.seek_to_committed(partition)
    assert [record.value for record in await drain(consumer)] == [b"2", b"3", b"4", b"5"]
    await consumer.seek_to_committed(Partition(TOPIC, 99))


async def test_lag_counts_what_was_appended_and_not_committed_for_every_partition(log: EventLog) -> None:
    watcher = log.consumer(TOPIC, GROUP)
    assert dict(await watcher.lag()) == {Partition(TOPIC, i): 0 for i in range(4)}
    producer = log.producer()
    for _ in range(5):
        partition = (await producer.append(TOPIC, b"k", b"v")).partition
    consumer = await started(log)
    await drain(consumer)
    await consumer.commit({partition: 4})
    expected = {Partition(TOPIC, i): 0 for i in range(4)} | {partition: 1}
    assert dict(await watcher.lag()) == dict(await consumer.lag()) == expected


# Groups


async def test_members_share_all_partitions_evenly_and_each_has_one_owner(log: EventLog, world: World) -> None:
    first = await started(log)
    assert len(first.assignment()) == 4
    second = await started(world.log())
    await settle(first, second, until=lambda: len(first.assignment()) == len(second.assignment()) == 2)
    assert not first.assignment() & second.assignment()
    third = await started(world.log())
    everybody = (first, second, third)
    await settle(*everybody, until=lambda: sorted(len(c.assignment()) for c in everybody) == [1, 1, 2])
    assert len(frozenset().union(*(c.assignment() for c in everybody))) == 4


async def test_a_rebalance_moves_no_more_partitions_than_it_must(log: EventLog, world: World) -> None:
    first, second = await started(log), await started(world.log())
    await settle(first, second, until=lambda: len(first.assignment()) == len(second.assignment()) == 2)
    before = [first.assignment(), second.assignment()]
    third = await started(world.log())
    await settle(first, second, third, until=lambda: len(third.assignment()) == 1)
    assert first.assignment() <= before[0]
    assert second.assignment() <= before[1]


async def test_revocation_is_told_before_the_next_owner_has_the_partition(log: EventLog, world: World) -> None:
    await fill(log, 40)
    first, second = log.consumer(TOPIC, GROUP), world.log().consumer(TOPIC, GROUP)
    revoked: set[Partition] = set()

    async def on_revoked(partitions: Collection[Partition]) -> None:
        # Still the owner here: the work that is done can be committed, and nobody else has it.
        assert set(partitions) <= first.assignment()
        assert not second.assignment() & set(partitions)
        await first.commit(dict.fromkeys(partitions, 1000))
        revoked.update(partitions)

    await first.start(on_revoked)
    await first.poll(1, 0)
    await second.start()
    await settle(first, second, until=lambda: len(second.assignment()) == 2)
    assert revoked == second.assignment()
    lag = await second.lag()
    assert all(lag[partition] == 0 for partition in revoked)


async def test_after_a_revocation_a_commit_is_refused_silently(log: EventLog, world: World) -> None:
    await fill(log, 40)
    first, second = await started(log), await started(world.log())
    await settle(first, second, until=lambda: len(second.assignment()) == 2)
    before = dict(await second.lag())
    await first.commit(dict.fromkeys(second.assignment(), 1000))
    assert dict(await second.lag()) == before


async def test_pause_survives_a_rebalance_for_partitions_that_stay(log: EventLog, world: World) -> None:
    first = await started(log)
    first.pause(first.assignment())
    second = await started(world.log())
    await settle(first, second, until=lambda: len(first.assignment()) == len(second.assignment()) == 2)
    await fill(log, 80)
    assert await drain(first) == []
    await second.stop()
    await settle(first, until=lambda: len(first.assignment()) == 4)
    assert len({record.partition for record in await drain(first)}) == 2


async def test_a_stopped_member_leaves_at_once_and_without_committing(log: EventLog, world: World) -> None:
    await fill(log, 20)
    first = await started(log)
    await drain(first)
    await first.stop()
    await first.stop()
    assert first.assignment() == frozenset()
    second = await started(world.log())
    assert len(second.assignment()) == 4
    assert len(await drain(second)) == 20


async def test_a_member_that_polls_keeps_its_partitions(log: EventLog, world: World) -> None:
    first, second = await started(log), await started(world.log())
    await settle(first, second, until=lambda: len(first.assignment()) == len(second.assignment()) == 2)
    for _ in range(3):
        world.pass_time(19)
        for consumer in (first, second):
            consumer._next_look = 0.0  # type: ignore[attr-defined]  # a heartbeat is due
            await consumer.poll(1, 0)
    assert len(first.assignment()) == len(second.assignment()) == 2


async def test_a_member_that_does_not_poll_loses_its_partitions_and_its_late_commits(
    log: EventLog, world: World
) -> None:
    await fill(log, 40)
    revoked: set[Partition] = set()

    async def on_revoked(partitions: Collection[Partition]) -> None:
        revoked.update(partitions)

    zombie = log.consumer(TOPIC, GROUP)
    await zombie.start(on_revoked)
    await drain(zombie)
    world.pass_time(LEASE_SECONDS)
    heir = await started(world.log())
    assert len(heir.assignment()) == 4
    await zombie.commit(dict.fromkeys(zombie.assignment(), 1000))
    assert sum((await heir.lag()).values()) == 40
    assert len(await drain(heir)) == 40
    # The zombie wakes up: it learns what it lost and takes part again.
    zombie._next_look = 0.0  # type: ignore[attr-defined]
    await zombie.poll(1, 0)
    assert len(revoked) == 4
    await settle(zombie, heir, until=lambda: len(zombie.assignment()) == len(heir.assignment()) == 2)
    assert not zombie.assignment() & heir.assignment()


async def test_a_commit_from_before_a_loss_is_refused_after_the_partition_came_back(
    log: EventLog, world: World
) -> None:
    await fill(log, 40)
    zombie = await started(log)
    await drain(zombie)
    fences = dict(zombie._fences)  # type: ignore[attr-defined]
    world.pass_time(LEASE_SECONDS)
    heir = await started(world.log())
    await heir.stop()
    zombie._next_look = 0.0  # type: ignore[attr-defined]
    await zombie.poll(1, 0)
    await settle(zombie, until=lambda: len(zombie.assignment()) == 4)
    assert all(zombie._fences[i] > fence for i, fence in fences.items())  # type: ignore[attr-defined]
    await zombie._engine.commit(zombie._member, dict.fromkeys(fences, 1000), fences)  # type: ignore[attr-defined]
    assert sum((await zombie.lag()).values()) == 40


# Compaction


async def test_a_compacted_topic_hands_out_the_newest_record_of_every_key(log: EventLog) -> None:
    await log.ensure_topic("heads", 2, compacted=True)
    producer = log.producer()
    appends = [producer.append("heads", b"key%d" % (i % 5), b"%d" % i) for i in range(50)]
    await asyncio.gather(*appends)
    newest = {record.key: record.value for record in await drain(await started(log, topic="heads"))}
    assert newest == {b"key%d" % i: b"%d" % (45 + i) for i in range(5)}


# Closing


async def test_closing_the_log_twice_is_fine_and_ends_what_was_made_here(world: World) -> None:
    log = world.log()
    await log.ensure_topic(TOPIC, 1)
    producer, consumer = log.producer(), await started(log)
    await log.close()
    await log.close()
    with pytest.raises(HeadwaterError):
        await producer.append(TOPIC, b"k", b"v")
    with pytest.raises(HeadwaterError):
        await consumer.poll(1, 0)


# SQLite only: processes, power and disks


@pytest.fixture
async def sqlite_log(tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
    log = SqliteEventLog(tmp_path / "log.sqlite", retention_seconds=3600)
    await log.ensure_topic(TOPIC, 4)
    yield log
    await log.close()


@asynccontextmanager
async def process(action: str, directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("log_process.py")),
        action,
        str(directory / "log.sqlite"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        child._transport.close()  # type: ignore[attr-defined]


async def lines_until(child: asyncio.subprocess.Process, enough: Callable[[list[str]], bool]) -> list[str]:
    assert child.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(30):
        while not enough(lines):
            lines.append((await child.stdout.readline()).decode().strip())
            assert lines[-1], "the process ended"
    return lines


async def test_acknowledged_records_survive_a_kill_and_keep_their_order(
    sqlite_log: SqliteEventLog, tmp_path: Path
) -> None:
    async with process("append", tmp_path) as child:
        lines = await lines_until(child, lambda lines: len(lines) >= 100)
        os.kill(child.pid, signal.SIGKILL)
        assert child.stdout is not None
        lines += (await child.stdout.read()).decode().split("\n")[:-1]
    acknowledged = [line.removeprefix("appended ") for line in lines]
    stored = [(record.value or b"").decode() for record in await drain(await started(sqlite_log))]
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    for caller in range(4):
        mine = [int(value.split("/")[1]) for value in stored if value.startswith(f"{caller}/")]
        assert mine == list(range(len(mine)))


async def test_two_processes_share_the_partitions_and_a_killed_one_is_replaced_at_once(
    sqlite_log: SqliteEventLog, tmp_path: Path
) -> None:
    async with process("consume", tmp_path) as one, process("consume", tmp_path) as other:

        async def two(child: asyncio.subprocess.Process) -> set[int]:
            lines = await lines_until(
                child, lambda ls: bool(ls) and ls[-1].startswith("assigned") and len(ls[-1].split()) == 3
            )
            return {int(index) for index in lines[-1].split()[1:]}

        first, second = await asyncio.gather(two(one), two(other))
        assert first | second == {0, 1, 2, 3}
        assert not first & second
        await fill(sqlite_log, 20)
        for child in (one, other):
            await lines_until(child, lambda lines: any(line.startswith("got") for line in lines))
        one.kill()
        before = time.monotonic()
        await lines_until(other, lambda lines: bool(lines) and lines[-1] == "assigned 0 1 2 3")
        assert time.monotonic() - before < 10  # well below the lease
    watcher = sqlite_log.consumer(TOPIC, GROUP)
    async with process("consume", tmp_path) as successor:
        deadline = time.monotonic() + 20
        while sum((await watcher.lag()).values()):
            assert time.monotonic() < deadline
            assert successor.returncode is None
            await asyncio.sleep(0.02)


async def test_a_suspended_process_is_fenced_off_and_its_successor_gets_its_records(tmp_path: Path) -> None:
    now = [time.time()]
    log = SqliteEventLog(tmp_path / "log.sqlite", now_seconds=lambda: now[0])
    await log.ensure_topic(TOPIC, 4)
    async with process("consume", tmp_path) as child:
        await lines_until(child, lambda lines: "assigned 0 1 2 3" in lines)
        os.kill(child.pid, signal.SIGSTOP)
        await fill(log, 12)
        now[0] += LEASE_SECONDS
        heir = await started(log)
        assert len(await drain(heir)) == 12
        os.kill(child.pid, signal.SIGCONT)
        lines = await lines_until(child, lambda lines: any(line.startswith("revoked") for line in lines))
        assert not any(line.startswith("got") for line in lines)
    await log.close()


async def test_a_lock_that_another_process_holds_too_long_is_a_dependency_error(
    sqlite_log: SqliteEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.sqlite.connection.BUSY_TIMEOUT_SECONDS", 0.1)
    log = SqliteEventLog(tmp_path / "log.sqlite")
    holder = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    producer = log.producer()
    before = time.monotonic()
    results = await asyncio.gather(*(producer.append(TOPIC, b"k", b"v") for _ in range(50)), return_exceptions=True)
    assert time.monotonic() - before < 2  # not one time-out after another
    for error in results:
        assert isinstance(error, DependencyUnavailable)
        assert error.reason == "STORAGE_BUSY"
        assert error.retry_after_seconds
    holder.execute("ROLLBACK")
    holder.close()
    await log.producer().append(TOPIC, b"k", b"v")
    await log.close()


async def test_a_file_that_is_no_database_is_a_dependency_error(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"not a database" * 1000)
    log = SqliteEventLog(tmp_path / "log.sqlite")
    with pytest.raises(DependencyUnavailable):
        await log.ensure_topic(TOPIC, 1)
    with pytest.raises(DependencyUnavailable):
        await log.consumer(TOPIC, GROUP).lag()
    await log.close()


async def test_a_full_disk_is_a_dependency_error_and_earlier_records_stay(sqlite_log: SqliteEventLog) -> None:
    await fill(sqlite_log, 5)
    await sqlite_log._engine._writer.run(lambda c: c.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(DependencyUnavailable) as caught:
        await sqlite_log.producer().append(TOPIC, b"k", b"x" * 1_000_000)
    assert caught.value.reason == "STORAGE_FULL"
    assert len(await drain(await started(sqlite_log))) == 5


def stored_count(directory: Path, topic: str) -> int:
    connection = sqlite3.connect(directory / "log.sqlite")
    sql = "SELECT count(*) FROM records JOIN topics USING (topic_id) WHERE name = ?"
    (count,) = connection.execute(sql, (topic,)).fetchone()
    connection.close()
    return int(count)


async def test_retention_removes_what_every_group_has_committed_and_nothing_else(tmp_path: Path) -> None:
    now = [time.time()]
    log = SqliteEventLog(tmp_path / "log.sqlite", now_seconds=lambda: now[0], retention_seconds=3600)
    await log.ensure_topic(TOPIC, 1)
    await fill(log, 50)
    now[0] += 7200
    await log.clean()
    assert stored_count(tmp_path, TOPIC) == 50  # nobody has read them
    fast, slow = await started(log, "fast"), await started(log, "slow")
    await fast.commit({Partition(TOPIC, 0): 50})
    await slow.commit({Partition(TOPIC, 0): 20})
    await log.clean()
    assert stored_count(tmp_path, TOPIC) == 30
    assert [record.offset for record in await drain(slow)] == list(range(20, 50))
    newcomer = await started(log, "newcomer")
    assert dict(await newcomer.lag()) == {Partition(TOPIC, 0): 30}
    assert len(await drain(newcomer)) == 30
    await log.close()


async def test_young_records_stay_for_replays(sqlite_log: SqliteEventLog, tmp_path: Path) -> None:
    await fill(sqlite_log, 10)
    consumer = await started(sqlite_log)
    await consumer.commit(dict.fromkeys(consumer.assignment(), 100))
    await sqlite_log.clean()
    assert stored_count(tmp_path, TOPIC) == 10


async def test_compaction_keeps_the_newest_record_of_every_key_and_bounds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_retention, "MIN_DIRTY_RECORDS", 10)
    monkeypatch.setattr(sqlite_retention, "STEP_RECORDS", 7)
    log = SqliteEventLog(tmp_path / "log.sqlite")
    await log.ensure_topic("heads", 2, compacted=True)
    producer = log.producer()
    await asyncio.gather(*(producer.append("heads", b"key%d" % (i % 8), b"%d" % i) for i in range(200)))
    await producer.append("heads", b"key0", None)
    await log.clean()
    records = await drain(await started(log, topic="heads"))
    assert stored_count(tmp_path, "heads") == len(records) <= 8 + 10
    assert {r.key: r.value for r in records} == {b"key0": None} | {b"key%d" % i: b"%d" % (192 + i) for i in range(1, 8)}
    await log.close()


async def test_many_callers_share_commits(sqlite_log: SqliteEventLog) -> None:
    commits = 0

    def count() -> None:
        nonlocal commits
        commits += 1

    sqlite_log._engine._writer.on_commit = count
    await fill(sqlite_log, 400)
    assert commits < 100


async def test_a_failed_append_takes_no_other_with_it(sqlite_log: SqliteEventLog) -> None:
    producer = sqlite_log.producer()
    appends = [producer.append("missing" if i % 3 == 0 else TOPIC, b"k", b"%d" % i) for i in range(30)]
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert sum(isinstance(result, FailedPrecondition) for result in results) == 10
    assert len(await drain(await started(sqlite_log))) == 20
