"""A crash anywhere, somebody else at work, a tenant that goes: the same end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.ingest.applying import APPLIED, SUPERSEDED, live
from tests.unit.ingest.world import TENANT, WRITER, World

from chassis.errors import DependencyUnavailable
from corpus.domain import ChangeState, DocumentKey, Head
from ingest.domain import Delete, SetAccess


async def _a_life(world: World, apply) -> None:
    """Every kind of change, each applied by ``apply``."""
    for event in (
        await world.upsert("guide", 1, "first"),
        world.event("guide", 2, SetAccess(("group:b",), 1)),
        await world.upsert("guide", 3, "second", ("group:a",)),
        await world.upsert("guide", 4, "second", ("group:a", "group:b")),
        world.event("guide", 5, SetAccess(("group:c",), 0)),
        world.event("other", 1, Delete()),
        await world.upsert("other", 2, "third"),
    ):
        await apply(event)


async def _state(world: World) -> object:
    heads = [replace(head, ingest_trace_id="") for head in await world.stores.heads.list(TENANT, include_deleted=True)]
    rows = [await world.rows_of(document_id) for document_id in ("guide", "other")]
    found = [await world.found_by(p, clearance=c) for p in ("group:a", "group:b", "group:c") for c in (0, 1)]
    return heads, rows, found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash", [False, True], ids=["error", "crash"])
async def test_a_failure_between_any_two_steps_and_a_redelivery_end_as_if_nothing_had_happened(
    after: bool, crash: bool
) -> None:
    calls = 0

    async def count(name, call):
        nonlocal calls
        calls += 1
        return await call()

    async with World(count) as world:
        await _a_life(world, world.apply.apply)
        expected, steps = await _state(world), calls
    assert steps > 60

    for step in range(1, steps + 1):
        left = step

        async def fail_once(name, call):
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise asyncio.CancelledError if crash else DependencyUnavailable("away")
            result = await call()
            if left == 0:
                raise asyncio.CancelledError if crash else DependencyUnavailable("away")
            return result

        async def deliver(event):
            # A crash ends the task that applies the event; somebody else applies it again.
            (ended,) = await asyncio.gather(asyncio.create_task(world.apply.apply(event)), return_exceptions=True)
            if isinstance(ended, BaseException):
                assert await world.apply.apply(event) == APPLIED

        async with World(fail_once) as world:
            await _a_life(world, deliver)
            assert await _state(world) == expected, f"step {step}"


# -- others at work -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["chunks.put", "vectors.write", "heads.put"])
async def test_a_worker_that_wakes_up_late_neither_moves_the_head_nor_spoils_rows(held: str) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    async def hold(name, call):
        if name == held and not reached.is_set():
            reached.set()
            await gate.wait()
        return await call()

    async with World(hold) as world:
        first = await world.upsert("guide", 5, "text", ("group:a",))
        sleeper = asyncio.create_task(world.apply.apply(first))
        await reached.wait()
        # Its partition went to another worker, which applies this event again and the next one.
        assert await world.apply.apply(first) == APPLIED
        assert await world.apply.apply(world.event("guide", 6, SetAccess(("group:b",), 0))) == APPLIED
        gate.set()
        assert await sleeper == SUPERSEDED
        head = await world.head("guide")
        assert head is not None
        assert head.version == 6
        assert await world.found_by("group:b") == {("guide", 5)}
        assert await world.found_by("group:a") == set()


async def test_a_late_widening_of_rows_does_not_hide_the_document_from_its_newest_readers() -> None:
    gate, reached = asyncio.Event(), asyncio.Event()
    armed = False

    async def hold(name, call):
        nonlocal armed
        if armed and name == "vectors.set_access":
            armed = False
            reached.set()
            await gate.wait()
        return await call()

    async with World(hold) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a",)))
        armed = True
        second = world.event("guide", 6, SetAccess(("group:b",), 0))
        sleeper = asyncio.create_task(world.apply.apply(second))
        await reached.wait()
        await world.apply.apply(second)
        await world.apply.apply(world.event("guide", 7, SetAccess(("group:c",), 0)))
        gate.set()
        assert await sleeper == SUPERSEDED
        assert await world.found_by("group:c") == {("guide", 5)}
        assert await world.found_by("group:a", "group:b") == set()


@pytest.mark.parametrize("recreate", [False, True])
async def test_a_tenant_deleted_midway_keeps_nothing(recreate: bool) -> None:
    deleted: list[str] = []

    async def delete_before_commit(name, call):
        if name == "heads.put" and not deleted:
            deleted.append(name)
            world.clock.advance(1)
            await world.manage.delete(WRITER, TENANT)
            if recreate:
                await world.manage.create(WRITER, TENANT, {})
        return await call()

    async with World(delete_before_commit) as world:
        outcome = await world.apply.apply(await world.upsert("guide", 5, "text"))
        assert (outcome.state, outcome.reason) == (ChangeState.SUPERSEDED, "UNKNOWN_TENANT")
        assert not await live(world)
        assert await world.stores.heads.get(DocumentKey(TENANT, "guide")) is None
        assert await world.rows_of("guide") == (set(), set(), set())


async def test_changes_of_a_deleted_tenant_are_not_applied_to_a_new_one_of_its_name() -> None:
    async with World() as world:
        event = await world.upsert("guide", 5, "text")
        world.clock.advance(1)
        await world.manage.delete(WRITER, TENANT)
        await world.manage.create(WRITER, TENANT, {})
        assert (await world.apply.apply(event)).reason == "UNKNOWN_TENANT"
        assert await world.head("guide") is None
        assert await world.stores.heads.get(event.key) is None


async def test_who_gives_up_a_change_of_a_deleted_tenant_takes_back_what_he_had_written() -> None:
    """Whoever goes on with the event passes it over, and does not look for what was written late."""

    async def die_after_commit(name, call):
        result = await call()
        if name == "heads.put" and await world.stores.tenants.get(TENANT) is not None:
            await world.manage.delete(WRITER, TENANT)
            await world.stores.heads.put(written[0])  # it was written late
            raise DependencyUnavailable("no answer")
        return result

    written: list[Head] = []
    async with World() as first:
        event = await first.upsert("guide", 5, "text")
        await first.apply.apply(event)
        head = await first.head("guide")
        assert head is not None
        written.append(head)
    async with World(die_after_commit) as world:
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(await world.upsert("guide", 5, "text"))
        assert await world.head("guide") is not None
        await world.apply.give_up(event)
        assert await world.head("guide") is None
