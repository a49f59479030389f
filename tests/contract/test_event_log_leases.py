"""Contract of the embedded logs' leases, whose clock the tests move; a server's clock is its own, see
test_event_log_kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from tests.contract.event_log_world import (
    GROUP,
    LEASE_SECONDS,
    TOPIC,
    World,
    drain,
    fill,
    opened_world,
    settle,
    started,
    with_topic,
)

from chassis.eventlog.memory import MemoryEventLog
from chassis.eventlog.port import EventLog, Partition
from chassis.eventlog.sqlite import SqliteEventLog


@pytest.fixture(params=(MemoryEventLog, SqliteEventLog), ids=lambda adapter: adapter.__name__)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def log(world: World) -> EventLog:
    return await with_topic(world)


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
