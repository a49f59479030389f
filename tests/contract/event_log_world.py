"""What the suites of the event log share: a world around an adapter, and verbs of its members."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.endpoints import KafkaEndpoint
from chassis.eventlog.consumer import GroupConsumer
from chassis.eventlog.kafka import KafkaEventLog
from chassis.eventlog.memory import MemoryEventLog
from chassis.eventlog.port import Consumer, EventLog, Record
from chassis.eventlog.sqlite import SqliteEventLog

TOPIC = "changes"
GROUP = "workers"
LEASE_SECONDS = 30.0  # longer than any embedded adapter's


@dataclass
class World:
    """One adapter with a wall clock that the test moves, as far as the log is on this side of it."""

    make: Callable[[], EventLog]
    now: list[float] = field(default_factory=lambda: [time.time()])
    logs: list[EventLog] = field(default_factory=list)

    def log(self) -> EventLog:
        """The log as one process sees it; a second call is a second process, where the adapter knows processes."""
        self.logs.append(self.make())
        return self.logs[-1]

    def pass_time(self, seconds: float) -> None:
        self.now[0] += seconds


@asynccontextmanager
async def opened_world(adapter: type[EventLog], directory: Path) -> AsyncIterator[World]:
    """A world around one adapter; closes every log at the end. On a real server each has topics of its own."""
    now = [time.time()]
    if adapter is SqliteEventLog:
        made = World(lambda: SqliteEventLog(directory / "log.sqlite", now_seconds=lambda: now[0]), now)
    elif adapter is KafkaEventLog:
        endpoint = kafka_endpoint()
        made = World(lambda: KafkaEventLog(endpoint), now)
    else:
        only = MemoryEventLog(lambda: now[0])
        made = World(lambda: only, now)
    yield made
    for log in made.logs:
        await log.close()


def kafka_endpoint() -> KafkaEndpoint:
    """The broker under test, and a prefix that nobody else uses."""
    address = os.environ.get("HEADWATER_TEST_KAFKA")
    if not address:
        pytest.fail("HEADWATER_TEST_KAFKA is not set: run this through python -m tests.servers run --only kafka")
    return KafkaEndpoint(bootstrap_servers=address, replication_factor=1, prefix=f"test-{uuid4().hex[:12]}.")


async def with_topic(world: World) -> EventLog:
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
    # A log in this process or file has at hand what it has; one across a network needs a moment to say so.
    wait = 0.0 if isinstance(consumer, GroupConsumer) else 1.0
    found: list[Record] = []
    while records := await consumer.poll(100, wait):
        found += records
    return found


async def settle(*consumers: Consumer, until: Callable[[], bool]) -> list[Record]:
    """Polls everybody in turn, as live members do, until something holds, and returns what they were handed."""
    deadline = time.monotonic() + 40
    found: list[Record] = []
    while not until():
        assert time.monotonic() < deadline, [sorted(c.assignment()) for c in consumers]
        for consumer in consumers:
            found += await consumer.poll(1, 0.01)
    return found


def positions(records: Collection[Record]) -> set[tuple[int, int]]:
    return {(record.partition.index, record.offset) for record in records}
