"""What only the SQLite event log promises: it survives kills, divides work among processes, and bounds its file."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.contract.event_log_world import (
    GROUP,
    LEASE_SECONDS,
    TOPIC,
    drain,
    fill,
    started,
)

from chassis.errors import DependencyUnavailable, FailedPrecondition
from chassis.eventlog import sqlite_retention
from chassis.eventlog.port import Partition
from chassis.eventlog.sqlite import SqliteEventLog


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


async def test_a_reader_is_not_behind_by_tombstones_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_retention, "MIN_DIRTY_RECORDS", 1)
    now = [time.time()]
    log = SqliteEventLog(tmp_path / "log.sqlite", now_seconds=lambda: now[0], retention_seconds=3600)
    await log.ensure_topic("heads", 1, compacted=True)
    producer = log.producer()
    for value in (b"1", b"2", None):
        await producer.append("heads", b"key", value)
    worker = await started(log, topic="heads")
    await worker.commit({Partition("heads", 0): 3})
    now[0] += 7200
    await log.clean()
    reader = log.reader("heads")
    await reader.start()
    assert list(await reader.poll(10, 0)) == []
    assert await reader.behind() == 0
    await log.close()


async def test_a_reader_of_a_topic_that_was_created_anew_is_told_so(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.sqlite")
    await log.ensure_topic(TOPIC, 1)
    await fill(log, 10)
    reader = log.reader(TOPIC)
    await reader.start()
    await reader.poll(10, 0)
    with sqlite3.connect(tmp_path / "log.sqlite") as connection:
        connection.execute("DELETE FROM records")
        connection.execute("UPDATE partitions SET next_offset = 0")
    for attempt in (reader.poll(1, 0), reader.behind()):
        with pytest.raises(FailedPrecondition) as caught:
            await attempt
        assert caught.value.reason == "LOG_TRUNCATED"
    connection.close()
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
