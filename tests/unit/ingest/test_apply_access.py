"""Changes of readers: rows never show less than the head allows, and the head never more than was said."""

from __future__ import annotations

import pytest
from tests.unit.ingest.applying import APPLIED, PUBLIC, SUPERSEDED, live
from tests.unit.ingest.world import TENANT, World

from chassis.errors import DependencyUnavailable
from corpus.access import access_tokens
from corpus.domain import ChangeState
from ingest.domain import Delete, SetAccess


async def test_an_access_change_before_any_content_keeps_older_readers_out() -> None:
    async with World() as world:
        assert await world.apply.apply(world.event("guide", 6, SetAccess(("group:few",), 3))) == APPLIED
        assert await world.apply.apply(await world.upsert("guide", 5, "text", PUBLIC)) == SUPERSEDED
        assert not await live(world)


async def test_an_access_change_after_a_delete_brings_nothing_back() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await world.apply.apply(world.event("guide", 6, Delete()))
        await world.apply.apply(world.event("guide", 7, SetAccess(PUBLIC, 0)))
        assert not await live(world)


async def access_steps(world: World, names: list[str], event) -> list[str]:
    names.clear()
    await world.apply.apply(event)
    return [name for name in names if name in ("vectors.set_access", "heads.put")]


async def test_a_grant_widens_rows_first_and_a_revoke_narrows_them_after() -> None:
    names: list[str] = []

    async def note(name, call):
        names.append(name)
        return await call()

    async with World(note) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a",)))
        grant = await access_steps(world, names, world.event("guide", 6, SetAccess(("group:a", "group:b"), 0)))
        assert grant[:2] == ["vectors.set_access", "heads.put"]
        assert await world.found_by("group:b") == {("guide", 5)}
        revoke = await access_steps(world, names, world.event("guide", 7, SetAccess(("group:b",), 0)))
        assert revoke == ["heads.put", "vectors.set_access"]
        assert await world.found_by("group:a") == set()
        swap = await access_steps(world, names, world.event("guide", 8, SetAccess(("group:c",), 0)))
        assert swap == ["heads.put", "vectors.set_access", "heads.put", "vectors.set_access"]
        assert await world.found_by("group:b") == set()
        assert await world.found_by("group:c") == {("guide", 5)}


async def test_a_change_that_gives_and_takes_takes_before_rows_are_widened_and_is_applied_after_a_crash_there() -> None:
    armed = False

    async def crash(name, call):
        if armed and name == "vectors.set_access":
            raise DependencyUnavailable("the disk is gone")
        return await call()

    async with World(crash) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a", "group:b")))
        swap = world.event("guide", 6, SetAccess(("group:b", "group:c"), 0))
        armed = True
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(swap)
        head = await world.head("guide")
        assert head is not None
        assert head.version == 5
        assert head.access.tokens == access_tokens(TENANT, ["group:b"])
        armed = False
        assert (await world.apply.apply(swap)).state is ChangeState.APPLIED
        assert await world.found_by("group:a") == set()
        assert await world.found_by("group:b") == await world.found_by("group:c") == {("guide", 5)}


async def test_at_every_moment_of_an_access_change_the_index_shows_what_the_head_allows() -> None:
    seen: list[tuple[set[str], set[str]]] = []

    async def look(name, call):
        result = await call()
        head = await world.head("guide")
        if head is not None:
            allowed = {p for p in ("group:a", "group:b") if access_tokens(TENANT, [p]) <= head.access.tokens}
            seen.append((allowed, {p for p in ("group:a", "group:b") if await world.found_by(p, clearance=9)}))
        return result

    async with World(look) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a",)))
        await world.apply.apply(world.event("guide", 6, SetAccess(("group:b",), 5)))
        await world.apply.apply(world.event("guide", 7, SetAccess(("group:a", "group:b"), 1)))
        assert all(allowed <= found for allowed, found in seen)
        assert len(seen) > 8
        assert await world.found_by("group:a", clearance=0) == set()
