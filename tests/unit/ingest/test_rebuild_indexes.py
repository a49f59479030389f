"""Rebuilding an index touches what it is about and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.ingest.audits import audits
from tests.unit.ingest.generations_world import GenerationsWorld
from tests.unit.ingest.world import TENANT, WRITER, World

from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound
from ingest.audit.differences import StoreName
from ingest.patience import patiently
from ingest.rebuild import RebuildIndexes


def indexes(world: Any) -> RebuildIndexes:
    auditor = audits(world, can_parse=False)
    return RebuildIndexes(world.stores.tenants, world.stores.heads, world.rows, auditor.repair, auditor, 0.0)


@pytest.mark.parametrize("store", [StoreName.VECTOR, StoreName.LEXICAL])
async def test_the_generation_beside_keeps_its_rows_when_the_one_that_is_searched_is_emptied(store: StoreName) -> None:
    async with GenerationsWorld() as world:
        await world.put("d", 1, "text of d")
        plan = await world.operate.create(WRITER, chunk_target_tokens=40)
        assert plan.beside is not None
        beside = plan.beside.generation.name
        await world.keeper().once()
        index = world.stores.vectors if store is StoreName.VECTOR else world.stores.lexical
        before = await index.chunk_ids(beside, TENANT)
        assert before
        made = await indexes(world).rebuild(TENANT, store, drop=True)
        assert (made.written, made.audit.left) == (1, [])
        assert await index.chunk_ids(beside, TENANT) == before


@pytest.mark.parametrize("call", ["lexical.drop_tenant", "lexical.look_up", "lexical.write", "chunks.rows_of"])
async def test_a_store_that_is_away_for_a_moment_ends_no_rebuild(call: str) -> None:
    failures = 0

    async def around(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal failures
        if name == call and 0 < failures <= 2:
            failures += 1
            raise DependencyUnavailable("The store is away.", retry_after_seconds=0.01)
        return await work()

    async with World(around) as world:
        for n in range(3):
            await world.apply.apply(await world.upsert(f"d{n}", 1, f"text {n}"))
        before = await world.stores.lexical.chunk_ids(world.generation.current().name, TENANT)
        failures = 1
        made = await indexes(world).rebuild(TENANT, StoreName.LEXICAL, drop=True)
        assert failures == 3, "it was away"
        assert made.audit.left == []
        assert await world.stores.lexical.chunk_ids(world.generation.current().name, TENANT) == before


async def test_a_store_that_stays_away_ends_a_step_after_its_time() -> None:
    attempts = 0

    async def step() -> None:
        nonlocal attempts
        attempts += 1
        raise DependencyUnavailable("The store is away.", retry_after_seconds=0.0)

    with pytest.raises(DependencyUnavailable):
        await patiently(step, seconds=0.05)
    assert attempts == 2


@pytest.mark.parametrize("created_again", [False, True])
@pytest.mark.parametrize("lost", ["vectors", "lexical", "chunks"])
@pytest.mark.parametrize("call", ["repair", "rebuild"])
async def test_a_tenant_that_is_deleted_meanwhile_gets_no_rows(call: str, lost: str, created_again: bool) -> None:
    striking = False

    async def around(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal striking
        if striking and name in (f"{lost}.write", f"{lost}.put"):
            striking = False
            world.clock.advance(1)
            await world.manage.delete(WRITER, TENANT)
            if created_again:
                await world.manage.create(WRITER, TENANT, {})
        return await work()

    async with World(around) as world:
        for n in range(3):
            await world.apply.apply(await world.upsert(f"d{n}", 1, f"text {n}"))
        await getattr(world.stores, lost).drop_tenant(TENANT)
        striking = True
        auditor = audits(world)
        store = StoreName.LEXICAL if lost == "lexical" else StoreName.VECTOR
        rebuild = RebuildIndexes(world.stores.tenants, world.stores.heads, world.rows, auditor.repair, auditor)
        working: Any = auditor.audit(TENANT, repair=True) if call == "repair" else rebuild.rebuild(TENANT, store)
        with pytest.raises(NotFound) as raised:
            await working
        assert raised.value.reason == "UNKNOWN_TENANT"
        generation = world.generation.current().name
        assert not await world.stores.vectors.chunk_ids(generation, TENANT)
        assert not await world.stores.lexical.chunk_ids(generation, TENANT)
        assert not await world.stores.chunks.stored_versions(TENANT)


async def test_a_row_that_has_no_vector_stops_neither_a_rebuild_nor_a_repair() -> None:
    calls: list[str] = []

    async def around(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        if name == "vectors.write":
            calls.append(name)
            # Of the second document and the third: those that the rebuild comes to after the bad one.
            if len(calls) not in (2, 3):
                raise InvalidRequest("No vector.", reason="BAD_VECTOR")
        return await work()

    async with World(around) as world:
        for n in range(3):
            calls[:] = [""]
            await world.apply.apply(await world.upsert(f"d{n}", 1, f"text {n}"))
        await world.stores.vectors.drop_tenant(TENANT)
        auditor = audits(world)
        rebuild = RebuildIndexes(world.stores.tenants, world.stores.heads, world.rows, auditor.repair, auditor, 0.0)
        calls.clear()
        made = await rebuild.rebuild(TENANT, StoreName.VECTOR)
        assert (made.written, len(made.audit.left), made.audit.unrepairable) == (2, 1, {"BAD_VECTOR": 1})
