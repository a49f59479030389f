"""When others fail, come, or go: workers wait or stop, and nothing is dropped or committed too early."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.ingest.consuming import append, ended, until_ended, until_lag_is, working
from tests.unit.ingest.world import TENANT, WRITER, World, stop, until

from chassis.errors import Defect, DependencyUnavailable, FailedPrecondition
from chassis.eventlog.port import Partition, Record
from corpus.domain import ChangeState, HeadState
from ingest import consumer as consumer_module
from ingest.codec import CHANGES_TOPIC, encode_change, key_bytes
from ingest.domain import Delete
from ingest.handle import RecordInWork


async def test_while_a_dependency_is_down_the_partition_waits_and_nothing_is_dropped(monkeypatch) -> None:
    monkeypatch.setattr(consumer_module, "FIRST_BACK_OFF_SECONDS", 0.01)
    down, calls = True, []

    async def fail(name, call):
        calls.append(name)
        if name == "embedder.embed_passages" and down:
            raise DependencyUnavailable("The embedder is away.", reason="EMBEDDER_AWAY")
        return await call()

    async with World(fail, partitions=1) as world, working(world, max_in_flight=4):
        ids = await append(world, *[await world.upsert(f"d{n}", 1, f"text {n}") for n in range(12)])

        async def noted() -> bool:
            record = await world.record(ids[0])
            return record is not None and record.reason == "EMBEDDER_AWAY" and record.attempts >= 3

        await until(noted)
        states = await ended(world, *ids)
        assert set(states.values()) == {ChangeState.PENDING}
        assert len(states) <= 4  # paused: no further records were taken
        assert await world.lag() == 12
        assert await world.dead_letters() == []
        down = False
        assert set((await until_ended(world, *ids)).values()) == {ChangeState.APPLIED}
        await until_lag_is(world, 0)


async def test_a_worker_full_of_waiting_changes_keeps_its_place_in_the_group(monkeypatch) -> None:
    monkeypatch.setattr(consumer_module, "HEARTBEAT_SECONDS", 0.0)
    polls, started, gate = 0, 0, asyncio.Event()

    async def hold(name, call):
        nonlocal polls, started
        polls += name == "consumer.poll"
        if name == "objects.get":
            started += 1
            await gate.wait()
        return await call()

    async with World(hold, partitions=1) as world, working(world, max_in_flight=2):
        ids = await append(world, *[await world.upsert(f"d{n}", 1, f"text {n}") for n in range(5)])

        async def polled_on() -> bool:
            return started == 2 and polls >= 5

        await until(polled_on)
        assert started == 2
        gate.set()
        await until_ended(world, *ids)


@pytest.mark.parametrize("error", [FailedPrecondition("no"), Defect("broken"), ValueError("a bug")], ids=repr)
async def test_any_other_failure_stops_the_worker_with_nothing_committed_from_there_on(error: Exception) -> None:
    async def fail(name, call):
        if name == "embedder.embed_passages":
            raise error
        return await call()

    async with World(fail, partitions=1) as world:
        await append(world, world.event("a", 1, Delete()), await world.upsert("b", 1, "text"))
        await append(world, await world.upsert("b", 2, "text"), world.event("c", 1, Delete()))
        with pytest.raises(type(error)):
            async with asyncio.timeout(5):
                await world.consumer().run()
        assert await world.lag() == 3
        assert await world.dead_letters() == []


async def test_work_that_is_cancelled_from_within_stops_the_worker_instead_of_hanging() -> None:
    async def cancel(name, call):
        if name == "objects.get":
            raise asyncio.CancelledError
        return await call()

    async with World(cancel, partitions=1) as world:
        await append(world, await world.upsert("b", 1, "text"))
        with pytest.raises(Defect):
            async with asyncio.timeout(5):
                await world.consumer().run()
        assert await world.lag() == 1


async def test_the_worker_survives_a_log_that_is_away_for_a_while() -> None:
    failures = {"consumer.poll": 2, "consumer.commit": 2}

    async def fail(name, call):
        if failures.get(name):
            failures[name] -= 1
            raise DependencyUnavailable("The log is away.")
        return await call()

    async with World(fail) as world, working(world):
        (event_id,) = await append(world, world.event("a", 1, Delete()))
        await until_ended(world, event_id)
        await until_lag_is(world, 0)


async def test_a_second_worker_takes_its_share_and_every_change_is_applied_once() -> None:
    gate = asyncio.Event()

    async def hold(name, call):
        if name == "objects.get":
            await gate.wait()
        return await call()

    async with World(hold, partitions=4) as first:
        ids = await append(first, *[await first.upsert(f"d{n}", 1, f"text {n}") for n in range(24)])
        async with working(first) as one, World(stores=first.stores, partitions=4) as second:

            async def begun() -> bool:
                return one._offsets.under_way() == 8

            await until(begun)
            async with working(second) as two:

                async def shared() -> bool:
                    return len(two.consumer.assignment()) == 2

                # The first worker looks at its group when it polls; it is full, so it polls for its heartbeat.
                consumer_module.HEARTBEAT_SECONDS, before = 0.0, consumer_module.HEARTBEAT_SECONDS
                try:
                    await until(shared, 10)
                finally:
                    consumer_module.HEARTBEAT_SECONDS = before
                held = one.consumer.assignment()
                assert {record.partition for record in one._running.values()} <= held  # the rest was given up
                gate.set()
                assert set((await until_ended(first, *ids)).values()) == {ChangeState.APPLIED}
                await until_lag_is(first, 0)
        heads = await first.stores.heads.list(TENANT)
        assert len(heads) == 24
        assert all(head.state is HeadState.LIVE for head in heads)


async def test_nothing_is_committed_for_a_revoked_partition() -> None:
    async with World(partitions=2) as world:
        consumer = world.consumer()
        offsets = consumer._offsets
        taken, kept = Partition(CHANGES_TOPIC, 0), Partition(CHANGES_TOPIC, 1)
        for partition in (taken, kept):
            offsets.start(partition, 0)
        await consumer._on_revoked([taken])
        for partition in (taken, kept):
            offsets.done(partition, 0)
        assert offsets.committable() == {kept: 1}


async def test_draining_finishes_what_is_in_work_and_begins_nothing() -> None:
    gate, begun = asyncio.Event(), 0

    async def hold(name, call):
        nonlocal begun
        if name == "objects.get":
            begun += 1
            await gate.wait()
        return await call()

    async with World(hold, partitions=1) as world:
        consumer = world.consumer(max_in_flight=2)
        task = asyncio.create_task(consumer.run())
        ids = await append(world, *[await world.upsert(f"d{n}", 1, f"text {n}") for n in range(6)])

        async def both_in_work() -> bool:
            return begun == 2

        await until(both_in_work)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await consumer.drain(5)
        await stop(task)
        assert list((await ended(world, *ids)).values()).count(ChangeState.APPLIED) == 2
        assert await world.lag() == 4  # what was drained is committed


async def test_a_row_that_was_written_after_its_tenant_was_deleted_does_not_stay_pending() -> None:
    async def too_late(name, call):
        if name == "ledger.accept":
            world.clock.advance(1)
            await world.manage.delete(WRITER, TENANT)
            await call()
            raise DependencyUnavailable("no answer")
        return await call()

    async with World(too_late) as world:
        event = await world.upsert("guide", 1, "text")
        record = Record(Partition(CHANGES_TOPIC, 0), 0, key_bytes(event.key), encode_change(event))
        work = RecordInWork(record)
        with pytest.raises(DependencyUnavailable):
            await world.handler.attempt(work)
        pending = await world.record(event.event_id)
        assert pending is not None
        assert pending.state is ChangeState.PENDING
        await world.handler.give_up(work)
        ended = await world.record(event.event_id)
        assert ended is not None
        assert (ended.state, ended.reason) == (ChangeState.SUPERSEDED, "UNKNOWN_TENANT")
