"""From the log to the end of every change: in order per document, never dropped, committed without holes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.unit.ingest.world import STAFF, TENANT, WRITER, World, stop, until

from chassis.errors import Defect, DependencyUnavailable, FailedPrecondition
from chassis.eventlog.port import Partition, Record
from corpus.domain import ChangeState, HeadState
from ingest import consumer as consumer_module
from ingest.adapters.event_log import MAX_EVENT_BYTES
from ingest.codec import CHANGES_TOPIC, encode_change, key_bytes
from ingest.consumer import ChangeConsumer
from ingest.domain import Delete, DocumentChange, Draft, SetAccess
from ingest.handle import RecordInWork, pending_record


@asynccontextmanager
async def working(world: World, max_in_flight: int = 8) -> AsyncIterator[ChangeConsumer]:
    consumer = world.consumer(max_in_flight)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        await stop(task)


async def ended(world: World, *event_ids: str) -> dict[str, ChangeState]:
    records = await world.stores.ledger.get_many(TENANT, event_ids)
    return {event_id: record.state for event_id, record in records.items()}


async def until_ended(world: World, *event_ids: str) -> dict[str, ChangeState]:
    async def all_ended() -> bool:
        states = await ended(world, *event_ids)
        return len(states) == len(set(event_ids)) and ChangeState.PENDING not in states.values()

    await until(all_ended)
    return await ended(world, *event_ids)


async def until_lag_is(world: World, lag: int) -> None:
    async def is_so() -> bool:
        return await world.lag() == lag

    await until(is_so)


async def append(world: World, *events: DocumentChange) -> list[str]:
    for event in events:
        await world.change_log.append(event)
    return [event.event_id for event in events]


async def test_accepted_changes_are_applied_and_the_lag_goes_to_zero() -> None:
    async with World() as world, working(world):
        receipts = [
            await world.accept.put(WRITER, Draft(f"d{n}", filename="a.txt", principals=STAFF), b"text %d" % n)
            for n in range(20)
        ]
        states = await until_ended(world, *(receipt.event_id for receipt in receipts))
        assert set(states.values()) == {ChangeState.APPLIED}
        await until_lag_is(world, 0)
        assert (await world.stores.heads.counts(TENANT)).documents == 20


async def test_the_worker_writes_the_ledger_row_that_the_api_could_not() -> None:
    async with World() as world, working(world):
        (event_id,) = await append(world, await world.upsert("guide", 5, "text"))
        assert await until_ended(world, event_id) == {event_id: ChangeState.APPLIED}


async def test_stale_and_repeated_changes_end_with_the_word_for_it() -> None:
    async with World() as world, working(world):
        new = await world.upsert("guide", 5, "new")
        ids = await append(world, new, await world.upsert("guide", 4, "old"), new)
        assert await until_ended(world, *ids) == {ids[0]: ChangeState.APPLIED, ids[1]: ChangeState.SUPERSEDED}
        await until_lag_is(world, 0)
        assert len(world.embedder.calls) == 1


async def test_of_two_changes_with_one_version_the_ledgers_is_applied_whichever_comes_first() -> None:
    async with World() as world:
        loser = replace(await world.upsert("guide", 5, "loser"), event_id="loser")
        winner = replace(await world.upsert("guide", 5, "winner"), event_id="winner")
        await append(world, loser, winner)
        await world.stores.ledger.accept(pending_record(winner))  # its row is there first
        async with working(world):
            assert await until_ended(world, "winner") == {"winner": ChangeState.APPLIED}
            await until_lag_is(world, 0)
            assert await world.text("guide") == "winner"


async def test_an_event_that_was_appended_twice_is_applied_once() -> None:
    async with World() as world, working(world):
        first = await world.upsert("guide", 5, "BAD")
        await append(world, first, replace(first, event_id="the same again"))
        await until_ended(world, first.event_id)
        await until_lag_is(world, 0)
        assert len(await world.dead_letters()) == 1


async def test_of_an_event_that_was_appended_twice_the_first_counts_at_its_place_in_the_order() -> None:
    async with World(partitions=1) as world:
        delete = world.event("guide", 11, Delete())
        await world.stores.ledger.accept(pending_record(replace(delete, event_id="second copy")))
        await append(
            world, delete, await world.upsert("guide", 6, "text"), world.event("guide", 12, SetAccess(STAFF, 0))
        )
        await append(world, replace(delete, event_id="second copy"))
        async with working(world):
            await until_lag_is(world, 0)
            head = await world.head("guide")
            assert head is not None
            assert (head.version, head.state) == (12, HeadState.DELETED)
            assert (await ended(world, "second copy")) == {"second copy": ChangeState.APPLIED}


async def test_the_changes_of_one_document_are_applied_in_order_while_others_overtake() -> None:
    gate = asyncio.Event()

    async def hold_first(name, call):
        if name == "objects.get" and not gate.is_set():
            await gate.wait()
        return await call()

    async with World(hold_first, partitions=1) as world, working(world):
        ids = await append(world, await world.upsert("slow", 1, "one"), await world.upsert("slow", 2, "two"))
        others = await append(world, *[world.event(f"d{n}", 1, Delete()) for n in range(5)])
        await until_ended(world, *others)
        assert set((await ended(world, *ids)).values()) <= {ChangeState.PENDING}
        gate.set()
        assert set((await until_ended(world, *ids)).values()) == {ChangeState.APPLIED}
        assert await world.text("slow") == "two"


async def test_offsets_are_committed_only_as_far_as_everything_before_is_done() -> None:
    gate = asyncio.Event()

    async def hold(name, call):
        if name == "objects.get":
            await gate.wait()
        return await call()

    async with World(hold, partitions=1) as world, working(world):
        early = await append(world, *[world.event(f"a{n}", 1, Delete()) for n in range(3)])
        await append(world, await world.upsert("slow", 1, "one"))
        late = await append(world, *[world.event(f"b{n}", 1, Delete()) for n in range(4)])
        await until_ended(world, *early, *late)
        await until_lag_is(world, 5)  # the slow one and all after it
        gate.set()
        await until_lag_is(world, 0)


async def test_what_was_not_committed_is_done_again_by_the_next_worker_without_a_trace() -> None:
    async def never_commit(name, call):
        return None if name == "consumer.commit" else await call()

    async with World(never_commit, partitions=1) as world:
        ids = await append(world, await world.upsert("guide", 1, "one"), world.event("guide", 2, SetAccess(STAFF, 1)))
        ids += await append(world, await world.upsert("bad", 1, "BAD"))
        async with working(world):
            await until_ended(world, *ids)
        assert await world.lag() == 3
        async with World(stores=world.stores, partitions=1) as restarted, working(restarted):
            await until_lag_is(restarted, 0)
            assert restarted.embedder.calls == []
        assert len(await world.dead_letters()) == 1


async def test_a_bad_document_is_one_dead_letter_with_its_reason_and_blocks_nothing() -> None:
    async with World(partitions=1) as world, working(world):
        bad, good = await world.upsert("bad", 1, "BAD"), await world.upsert("good", 1, "good")
        await append(world, bad, good)
        states = await until_ended(world, bad.event_id, good.event_id)
        assert states == {bad.event_id: ChangeState.DEAD_LETTERED, good.event_id: ChangeState.APPLIED}
        record = await world.record(bad.event_id)
        assert record is not None
        assert (record.reason, record.attempts) == ("UNREADABLE", 1)
        (letter,) = await world.dead_letters()
        assert (letter.event_id, letter.document_id, letter.version) == (bad.event_id, "bad", 1)
        assert (letter.topic, letter.partition, letter.offset) == (CHANGES_TOPIC, 0, 0)
        assert letter.reason == "UNREADABLE"
        assert letter.event == encode_change(bad)
        assert letter.object_key == bad.change.content.object_key


async def test_a_dead_letter_is_recorded_once_even_when_the_ledger_fails_after_it() -> None:
    failures = 2

    async def fail(name, call):
        nonlocal failures
        if name == "ledger.finish" and failures:
            failures -= 1
            raise DependencyUnavailable("The ledger is away.")
        return await call()

    async with World(fail) as world, working(world):
        (event_id,) = await append(world, await world.upsert("bad", 1, "BAD"))
        assert await until_ended(world, event_id) == {event_id: ChangeState.DEAD_LETTERED}
        assert len(await world.dead_letters()) == 1


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe random", b"\x0a\x02\xc3\x28", b"\x0a\x05hello"], ids=str)
async def test_bytes_that_are_no_event_are_a_dead_letter_with_their_coordinates(value: bytes | None) -> None:
    async with World(partitions=1) as world, working(world):
        await world.stores.log.producer().append(CHANGES_TOPIC, b"", value)
        (good,) = await append(world, await world.upsert("good", 1, "good"))
        await until_ended(world, good)
        await until_lag_is(world, 0)
        (letter,) = await world.dead_letters()
        assert letter.reason == "MALFORMED_EVENT"
        assert (letter.partition, letter.offset) == (0, 0)
        assert letter.event == (value or b"")


async def test_the_dead_letter_of_an_event_too_large_for_it_says_only_where_the_event_is() -> None:
    async with World(partitions=1) as world, working(world):
        await world.stores.log.producer().append(CHANGES_TOPIC, b"", b"\xff" * (MAX_EVENT_BYTES + 1))
        await until_lag_is(world, 0)
        (letter,) = await world.dead_letters()
        assert (letter.reason, letter.topic, letter.offset, letter.event) == ("MALFORMED_EVENT", CHANGES_TOPIC, 0, b"")


async def test_an_event_under_another_documents_key_is_a_dead_letter() -> None:
    async with World(partitions=1) as world, working(world):
        event = world.event("guide", 1, Delete())
        wrong = key_bytes(world.event("other", 1, Delete()).key)
        await world.stores.log.producer().append(CHANGES_TOPIC, wrong, encode_change(event))
        await until_lag_is(world, 0)
        assert [letter.reason for letter in await world.dead_letters()] == ["MALFORMED_EVENT"]
        assert await world.head("guide") is None


async def test_a_change_of_an_unknown_tenant_is_passed_over() -> None:
    async with World() as world, working(world):
        event = world.event("guide", 1, Delete())
        await append(world, replace(event, key=replace(event.key, tenant_id="nobody")))
        await until_lag_is(world, 0)
        assert await world.dead_letters() == []
        assert await world.stores.ledger.counts("nobody") == {}


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
