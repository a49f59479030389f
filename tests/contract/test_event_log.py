"""Contract of the event log, over every adapter; what concerns several members is in test_event_log_groups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.event_log_world import (
    GROUP,
    TOPIC,
    World,
    drain,
    fill,
    opened_world,
    positions,
    started,
    with_topic,
)

from chassis.errors import FailedPrecondition, HeadwaterError, InvalidRequest
from chassis.eventlog.kafka import KafkaEventLog
from chassis.eventlog.memory import MemoryEventLog
from chassis.eventlog.port import EventLog, Partition
from chassis.eventlog.sqlite import SqliteEventLog

ADAPTERS = (MemoryEventLog, SqliteEventLog, pytest.param(KafkaEventLog, marks=pytest.mark.cluster))


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def log(world: World) -> EventLog:
    return await with_topic(world)


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
        records = await consumer.poll(1, 1)
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
