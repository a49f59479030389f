"""Sweeping: what no head names goes after the grace period, and nothing else."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from tests.unit.ingest.audits import audits
from tests.unit.ingest.world import STAFF, TENANT, WRITER, World

from chassis.errors import DependencyUnavailable
from corpus.domain import ChangeRecord, ChangeState, DocumentKey
from ingest.audit.differences import StoreName
from ingest.domain import Delete, SetAccess, Upsert
from ingest.handle import pending_record

GRACE = 3600.0


async def rows(world: World) -> int:
    stored, vectors, terms = await world.rows_of("guide")
    assert stored == vectors == terms
    return len(stored)


async def test_a_superseded_version_stays_for_the_grace_period_and_then_goes() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "one"))
        world.clock.advance(10 * GRACE)
        await world.apply.apply(await world.upsert("guide", 2, "two"))
        world.clock.advance(GRACE / 2)
        assert await world.sweeper(GRACE).sweep() == 0
        assert await rows(world) == 2
        world.clock.advance(GRACE)
        assert await world.sweeper(GRACE).sweep() == 1
        assert await rows(world) == 1
        assert await world.text("guide") == "two"
        assert await world.sweeper(GRACE).sweep() == 0


async def test_the_grace_period_does_not_depend_on_the_date_that_a_document_has() -> None:
    async with World() as world:
        old = {"metadata": {"date": datetime(1999, 1, 1, tzinfo=UTC)}}
        await world.apply.apply(await world.upsert("guide", 1, "one", **old))
        world.clock.advance(10 * GRACE)
        await world.apply.apply(await world.upsert("guide", 2, "two", **old))
        head = await world.head("guide")
        assert head is not None
        assert head.updated_at.year == 1999
        assert await world.sweeper(GRACE).sweep() == 0
        assert await rows(world) == 2


async def test_a_deleted_document_goes_after_the_grace_period_and_its_tombstone_stays() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "one"))
        world.clock.advance(10 * GRACE)
        await world.apply.apply(world.event("guide", 2, Delete()))
        assert await world.sweeper(GRACE).sweep() == 0
        world.clock.advance(2 * GRACE)
        assert await world.sweeper(GRACE).sweep() == 1
        assert await rows(world) == 0
        head = await world.head("guide")
        assert head is not None
        assert head.version == 2


async def test_a_version_that_a_newer_head_still_names_stays() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "one"))
        await world.apply.apply(world.event("guide", 2, SetAccess(STAFF, 0)))
        await world.apply.apply(await world.upsert("guide", 3, "one"))
        world.clock.advance(10 * GRACE)
        assert await world.sweeper(GRACE).sweep() == 0
        assert await rows(world) == 1


async def test_a_version_that_is_just_being_written_stays() -> None:
    async with World() as world:
        event = await world.upsert("guide", 1, "one")
        await world.apply.index.index(event, event.change, world.generation.current())
        assert await world.sweeper(GRACE).sweep() == 0
        assert await rows(world) == 1
        world.clock.advance(2 * GRACE)
        assert await world.sweeper(GRACE).sweep() == 1
        assert await rows(world) == 0


@pytest.mark.parametrize("step", range(1, 8))
async def test_an_interrupted_sweep_or_write_leaves_nothing_that_a_later_sweep_misses(step: int) -> None:
    left = 0

    async def fail(name, call):
        nonlocal left
        if name.startswith(("chunks.", "vectors.", "lexical.")):
            left -= 1
            if left == 0:
                raise DependencyUnavailable("away")
        return await call()

    async with World(fail) as world:
        event = await world.upsert("guide", 1, "one")
        left = step
        with contextlib.suppress(DependencyUnavailable):
            await world.apply.index.index(event, event.change, world.generation.current())
        world.clock.advance(2 * GRACE)
        with contextlib.suppress(DependencyUnavailable):
            await world.sweeper(GRACE).sweep()
        left = 0
        await world.sweeper(GRACE).sweep()
        assert await rows(world) == 0


async def test_a_sweep_goes_through_all_pages_of_all_tenants() -> None:
    async with World() as world:
        for n in range(620):
            await world.apply.apply(await world.upsert(f"d{n:03}", 1, "text"))
            await world.apply.apply(world.event(f"d{n:03}", 2, Delete()))
        await world.manage.create(WRITER, "empty", {})
        world.clock.advance(2 * GRACE)
        assert await world.sweeper(GRACE).sweep() == 620


@pytest.mark.parametrize("remove", ["sweep", "repair"])
async def test_rows_of_a_change_that_is_tried_again_stay_however_old_they_are(remove: str) -> None:
    async with World() as world:
        event = await world.upsert("guide", 1, "one")
        await world.stores.ledger.accept(pending_record(event))
        assert isinstance(event.change, Upsert)
        await world.apply.index.index(event, event.change, world.generation.current())
        await world.stores.ledger.finish(event.event_id, ChangeState.DEAD_LETTERED, at=world.clock.now())
        world.clock.advance(2 * GRACE)
        auditor = audits(world)
        found = (await auditor.audit(TENANT)).found
        assert [each.store for each in found] == [StoreName.CHUNKS]
        tenant = await world.stores.tenants.get(TENANT)
        assert tenant is not None

        async def tidy() -> None:
            await (world.sweeper(GRACE).sweep() if remove == "sweep" else auditor.repair.repair(found, tenant))

        await world.stores.ledger.reopen(event.event_id, replay=1)
        await tidy()
        assert await rows(world) == 1
        # Its head is written while somebody looks whether it waits.
        find = world.stores.ledger.find

        async def meanwhile(key: DocumentKey, version: int) -> ChangeRecord | None:
            await world.apply.apply(event)
            await world.stores.ledger.finish(event.event_id, ChangeState.APPLIED, at=world.clock.now())
            return await find(key, version)

        world.stores.ledger.find = meanwhile  # type: ignore[method-assign]
        world.clock.advance(2 * GRACE)
        await tidy()
        assert await rows(world) == 1
        assert await world.text("guide") == "one"
