"""Contract of the event log where several members share a group, over every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from tests.contract.event_log_world import (
    GROUP,
    TOPIC,
    World,
    drain,
    fill,
    opened_world,
    settle,
    started,
    with_topic,
)
from tests.contract.test_event_log import ADAPTERS

from chassis.eventlog.port import EventLog, Partition


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def log(world: World) -> EventLog:
    return await with_topic(world)


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
    # Where every member gives up everything at a rebalance, it is told of more.
    assert revoked >= second.assignment()
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
