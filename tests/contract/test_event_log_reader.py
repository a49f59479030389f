"""Contract of the reader that stands outside every group, over every adapter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.event_log_world import TOPIC, World, drain, fill, opened_world, positions, started, with_topic
from tests.contract.test_event_log import ADAPTERS

from chassis.errors import FailedPrecondition
from chassis.eventlog.port import EventLog, LogReader, Record


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def log(world: World) -> EventLog:
    return await with_topic(world)


async def reading(log: EventLog, topic: str = TOPIC) -> LogReader:
    reader = log.reader(topic)
    await reader.start()
    return reader


async def read_all(reader: LogReader, max_records: int = 100) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + 20
    while await reader.behind():
        assert time.monotonic() < deadline
        found += await reader.poll(max_records, 0.2)
    return found


async def test_a_reader_gets_every_record_once_from_the_beginning_in_order_per_partition(log: EventLog) -> None:
    await fill(log, 200)
    records = await read_all(await reading(log))
    assert len(records) == len(positions(records)) == 200
    for index in range(4):
        offsets = [record.offset for record in records if record.partition.index == index]
        assert offsets == list(range(len(offsets)))


async def test_readers_see_neither_groups_nor_each_other(log: EventLog) -> None:
    await fill(log, 20)
    worker = await started(log)
    await drain(worker)
    await worker.commit(dict.fromkeys(worker.assignment(), 1000))
    first, second = await reading(log), await reading(log)
    assert len(await read_all(first)) == len(await read_all(second)) == 20
    assert len(worker.assignment()) == 4


async def test_a_reader_is_behind_by_what_it_was_not_handed(log: EventLog) -> None:
    reader = await reading(log)
    assert await reader.behind() == 0
    await fill(log, 10)
    assert await reader.behind() == 10
    taken = 0
    while not taken:
        taken = len(await reader.poll(3, 1))
    assert taken <= 3
    assert await reader.behind() == 10 - taken
    await read_all(reader)
    assert await reader.behind() == 0


async def test_a_reader_wakes_when_a_record_is_appended_here_or_by_another_process(log: EventLog, world: World) -> None:
    reader = await reading(log)
    for producer in (log.producer(), world.log().producer()):
        waiting = asyncio.ensure_future(reader.poll(10, 30))
        await asyncio.sleep(0.05)
        before = time.monotonic()
        await producer.append(TOPIC, b"k", b"v")
        assert len(await waiting) == 1
        assert time.monotonic() - before < 2
        assert await reader.behind() == 0


async def test_small_polls_of_a_reader_starve_no_partition(log: EventLog) -> None:
    await fill(log, 80)
    reader = await reading(log)
    seen = [record.partition.index for _ in range(8) for record in await reader.poll(1, 1)]
    assert len(seen) <= 8
    assert set(seen) == {0, 1, 2, 3}


async def test_a_cancelled_poll_of_a_reader_loses_no_record(log: EventLog) -> None:
    reader = await reading(log)
    waiting = asyncio.ensure_future(reader.poll(10, 30))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await fill(log, 3)
    assert len(await read_all(reader)) == 3


async def test_a_poll_of_a_reader_without_records_waits_for_its_time(log: EventLog) -> None:
    reader = await reading(log)
    before = time.monotonic()
    assert list(await reader.poll(10, 0.15)) == []
    assert 0.1 <= time.monotonic() - before < 5


async def test_a_reader_of_a_compacted_topic_gets_the_newest_record_of_every_key(log: EventLog) -> None:
    await log.ensure_topic("heads", 2, compacted=True)
    producer = log.producer()
    await asyncio.gather(*(producer.append("heads", b"key%d" % (i % 5), b"%d" % i) for i in range(50)))
    await producer.append("heads", b"key0", None)
    reader = await reading(log, "heads")
    newest = {record.key: record.value for record in await read_all(reader)}
    assert newest == {b"key0": None} | {b"key%d" % i: b"%d" % (45 + i) for i in range(1, 5)}
    assert await reader.behind() == 0


async def test_a_reader_of_a_topic_that_nobody_created_is_refused(log: EventLog) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await log.reader("missing").start()
    assert caught.value.reason == "TOPIC_MISSING"


async def test_a_reader_that_is_not_started_or_stopped_is_refused(log: EventLog) -> None:
    reader = log.reader(TOPIC)
    with pytest.raises(FailedPrecondition):
        await reader.poll(1, 0)
    with pytest.raises(FailedPrecondition):
        await reader.behind()
    await reader.start()
    await reader.start()
    await reader.stop()
    await reader.stop()
    for attempt in (reader.poll(1, 0), reader.behind(), reader.start()):
        with pytest.raises(FailedPrecondition):
            await attempt


async def test_closing_the_log_stops_its_readers(world: World) -> None:
    log = await with_topic(world)
    reader = await reading(log)
    await log.close()
    with pytest.raises(FailedPrecondition):
        await reader.poll(1, 0)
