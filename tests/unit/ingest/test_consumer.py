"""From the log to the end of every change: in order per document, once, committed without holes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.unit.ingest.consuming import append, ended, until_ended, until_lag_is, working
from tests.unit.ingest.world import STAFF, TENANT, WRITER, World

from corpus.domain import ChangeState, HeadState
from ingest.domain import Delete, Draft, SetAccess
from ingest.handle import pending_record


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


async def test_a_change_of_an_unknown_tenant_is_passed_over() -> None:
    async with World() as world, working(world):
        event = world.event("guide", 1, Delete())
        await append(world, replace(event, key=replace(event.key, tenant_id="nobody")))
        await until_lag_is(world, 0)
        assert await world.dead_letters() == []
        assert await world.stores.ledger.counts("nobody") == {}
