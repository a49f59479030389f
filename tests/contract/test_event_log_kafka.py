"""What only the Kafka event log promises: it fits a real cluster's topics, groups and outages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.contract.event_log_world import GROUP, TOPIC, drain, fill, kafka_endpoint, positions, settle, started
from tests.servers import kafka
from tests.servers.native import free_port

from chassis.endpoints import KafkaEndpoint
from chassis.errors import Defect, DependencyUnavailable, FailedPrecondition, HeadwaterError, InvalidRequest
from chassis.eventlog import kafka_consumer
from chassis.eventlog.kafka import KafkaEventLog
from chassis.eventlog.kafka_cluster import KafkaCluster
from chassis.eventlog.kafka_connection import MAX_RECORD_BYTES, client_options
from chassis.eventlog.port import Partition
from chassis.eventlog.topics import TopicSpec

pytestmark = pytest.mark.cluster


@pytest.fixture
def endpoint() -> KafkaEndpoint:
    return kafka_endpoint()


@pytest.fixture
async def log(endpoint: KafkaEndpoint) -> AsyncIterator[KafkaEventLog]:
    log = KafkaEventLog(endpoint)
    await log.ensure_topic(TOPIC, 4)
    yield log
    await log.close()


@asynccontextmanager
async def cluster_of(endpoint: KafkaEndpoint) -> AsyncIterator[KafkaCluster]:
    cluster = KafkaCluster(client_options(endpoint), endpoint.prefix)
    yield cluster
    await cluster.close()


async def failure_of(attempt: Callable[[], Awaitable[object]]) -> HeadwaterError:
    """Tries until it fails with something else than an outage."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            await attempt()
        except DependencyUnavailable:
            continue
        except HeadwaterError as error:
            return error
    raise AssertionError("nothing failed")


# Topics


async def test_topics_that_are_as_expected_have_no_differences(log: KafkaEventLog) -> None:
    await log.ensure_topic("heads", 2, compacted=True)
    assert await log.differences({TOPIC: TopicSpec(4), "heads": TopicSpec(2, compacted=True)}) == []


async def test_every_difference_of_a_topic_is_a_sentence(log: KafkaEventLog, endpoint: KafkaEndpoint) -> None:
    strict = KafkaEventLog(endpoint.model_copy(update={"replication_factor": 3}))
    found = await strict.differences({TOPIC: TopicSpec(5, compacted=True), "missing": TopicSpec(1)})
    name = endpoint.prefix + TOPIC
    assert found == [
        f"The topic {name} has 4 partitions, expected are 5.",
        f"The topic {name} has 1 copies of a partition, expected are 3.",
        f"The topic {name} has the clean-up policy delete, expected is compact.",
        f"The topic {name} has min.insync.replicas 1, expected is at least 2.",
        f"The topic {endpoint.prefix}missing is missing.",
    ]
    await strict.close()


async def test_a_topic_that_several_processes_create_at_the_same_time_is_created_once(endpoint: KafkaEndpoint) -> None:
    logs = [KafkaEventLog(endpoint) for _ in range(4)]
    await asyncio.gather(*(log.ensure_topic("contended", 3) for log in logs))
    assert await logs[0].differences({"contended": TopicSpec(3)}) == []
    for log in logs:
        await log.close()


async def test_a_reader_of_a_topic_that_was_created_anew_is_told_so(
    log: KafkaEventLog, endpoint: KafkaEndpoint
) -> None:
    await fill(log, 40)
    reader = log.reader(TOPIC)
    await reader.start()
    taken = 0
    while taken < 40:
        taken += len(await reader.poll(100, 1))
    async with cluster_of(endpoint) as cluster:
        admin = await cluster._admin_client()
        await admin.delete_topics([endpoint.prefix + TOPIC])
        while await cluster.topic(TOPIC) is not None:
            await asyncio.sleep(0.05)
    fresh = KafkaEventLog(endpoint)
    await fresh.ensure_topic(TOPIC, 4)
    told = await failure_of(lambda: reader.behind())
    assert isinstance(told, FailedPrecondition)
    assert told.reason == "LOG_TRUNCATED"
    await fresh.close()


# Records


async def test_a_record_near_the_limit_goes_through_and_one_beyond_it_is_refused(log: KafkaEventLog) -> None:
    producer = log.producer()
    await producer.append(TOPIC, b"k", b"x" * (MAX_RECORD_BYTES - 2000), {"name": b"value"})
    with pytest.raises(InvalidRequest) as caught:
        await producer.append(TOPIC, b"k", b"x" * MAX_RECORD_BYTES)
    assert caught.value.reason == "RECORD_TOO_LARGE"
    (record,) = await drain(await started(log))
    assert len(record.value or b"") == MAX_RECORD_BYTES - 2000


# Groups


async def test_a_member_that_does_not_poll_loses_its_partitions_and_its_late_commits(
    log: KafkaEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "MAX_POLL_INTERVAL_MS", 3000)
    await fill(log, 40)
    revoked: set[Partition] = set()

    async def on_revoked(partitions: Collection[Partition]) -> None:
        revoked.update(partitions)

    zombie = log.consumer(TOPIC, GROUP)
    await zombie.start(on_revoked)
    await drain(zombie)
    held = zombie.assignment()
    heir = log.consumer(TOPIC, GROUP)
    await heir.start()
    found = await settle(heir, until=lambda: len(heir.assignment()) == 4)
    await zombie.commit(dict.fromkeys(held, 1000))
    assert sum((await heir.lag()).values()) == 40
    assert len(positions(found + await drain(heir))) == 40
    assert revoked == held
    # The zombie wakes up and takes part again.
    await settle(zombie, heir, until=lambda: len(zombie.assignment()) == len(heir.assignment()) == 2)
    assert not zombie.assignment() & heir.assignment()


async def test_a_member_that_polls_with_everything_paused_keeps_its_partitions(
    log: KafkaEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "MAX_POLL_INTERVAL_MS", 2000)
    revoked: list[Partition] = []

    async def on_revoked(partitions: Collection[Partition]) -> None:
        revoked.extend(partitions)

    consumer = log.consumer(TOPIC, GROUP)
    await consumer.start(on_revoked)
    consumer.pause(consumer.assignment())
    await fill(log, 4)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        assert list(await consumer.poll(1, 0.1)) == []
    assert (len(consumer.assignment()), revoked) == (4, [])


async def test_a_callback_that_fails_is_told_by_the_next_poll(log: KafkaEventLog) -> None:
    async def on_revoked(partitions: Collection[Partition]) -> None:
        raise ValueError("a mistake")

    first = log.consumer(TOPIC, GROUP)
    await first.start(on_revoked)
    await started(log)
    assert isinstance(await failure_of(lambda: first.poll(1, 0.1)), Defect)


async def test_a_consumer_whose_fetching_ended_in_silence_begins_anew(log: KafkaEventLog) -> None:
    await fill(log, 10)
    consumer = log.consumer(TOPIC, GROUP)
    await consumer.start()
    consumer._inner._fetcher._fetch_task.cancel()
    deadline = time.monotonic() + 20
    found = 0
    while found < 10:
        assert time.monotonic() < deadline
        try:
            found += len(await consumer.poll(100, 0.5))
        except DependencyUnavailable:
            continue


async def test_a_reader_whose_fetching_ended_in_silence_goes_on_with_another_client(log: KafkaEventLog) -> None:
    await fill(log, 10)
    reader = log.reader(TOPIC)
    await reader.start()
    records = list(await reader.poll(3, 5))
    reader._inner._fetcher._fetch_task.cancel()
    await fill(log, 10)
    deadline = time.monotonic() + 20
    while len(records) < 20:
        assert time.monotonic() < deadline
        with suppress(DependencyUnavailable):
            records += await reader.poll(3, 0.5)
    assert len(positions(records)) == 20
    assert await reader.behind() == 0


# Outages


async def test_a_cluster_that_does_not_answer_is_an_unavailable_dependency() -> None:
    log = KafkaEventLog(KafkaEndpoint(bootstrap_servers=f"127.0.0.1:{free_port()}"))
    for attempt in (
        log.ensure_topic(TOPIC, 1),
        log.differences({TOPIC: TopicSpec(1)}),
        log.producer().append(TOPIC, b"k", b"v"),
        log.consumer(TOPIC, GROUP).start(),
        log.consumer(TOPIC, GROUP).lag(),
        log.reader(TOPIC).start(),
    ):
        with pytest.raises(DependencyUnavailable) as caught:
            await attempt
        assert caught.value.reason == "KAFKA_UNAVAILABLE"
    await log.close()


async def test_everybody_goes_on_after_the_broker_was_restarted(tmp_path: Path) -> None:
    broker = await asyncio.to_thread(kafka.start, tmp_path)
    log = KafkaEventLog(KafkaEndpoint(bootstrap_servers=broker.address, replication_factor=1))
    try:
        await log.ensure_topic(TOPIC, 4)
        producer, consumer, reader = log.producer(), await started(log), log.reader(TOPIC)
        await reader.start()
        accepted = {(await producer.append(TOPIC, b"%d" % i, b"before")) for i in range(20)}
        assert len(await drain(consumer)) == 20
        await asyncio.to_thread(broker.stop)
        during = [asyncio.ensure_future(producer.append(TOPIC, b"%d" % i, b"during")) for i in range(10)]
        assert list(await consumer.poll(1, 0.5)) == []
        with pytest.raises(DependencyUnavailable):
            await reader.behind()
        broker = await asyncio.to_thread(kafka.start, tmp_path)
        accepted |= set(await asyncio.gather(*during))  # nobody who waited was told of the restart
        seen: set[tuple[int, int]] = set()
        read: set[tuple[int, int]] = set()
        wanted = {(position.partition.index, position.offset) for position in accepted}
        deadline = time.monotonic() + 60
        while not (len(seen) >= 10 and read >= wanted):
            assert time.monotonic() < deadline, (len(seen), len(read), len(wanted))
            seen |= positions(await consumer.poll(100, 0.2))
            read |= positions(await reader.poll(100, 0.2))
        while True:
            with suppress(DependencyUnavailable):
                await consumer.commit(dict.fromkeys(consumer.assignment(), 1000))
                if sum((await consumer.lag()).values()) == await reader.behind() == 0:
                    break
            assert time.monotonic() < deadline
            await consumer.poll(1, 0.2)
    finally:
        await log.close()
        await asyncio.to_thread(broker.stop)
