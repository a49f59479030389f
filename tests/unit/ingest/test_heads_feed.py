"""What readers' replicas are told: every head write, and everything that is forgotten."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.ingest.world import TENANT, WRITER, World

from corpus.domain import PublishedHead, published
from corpus.feed import HEADS_TOPIC, decode_head, read_record_key
from ingest.domain import Delete, SetAccess


async def on_the_feed(world: World) -> dict[tuple[str, str] | None, PublishedHead | None]:
    """The last record of every key."""
    reader = world.stores.log.reader(HEADS_TOPIC)
    await reader.start()
    found: dict[tuple[str, str] | None, PublishedHead | None] = {}
    while records := await reader.poll(1000, 0.0):
        for record in records:
            found[read_record_key(record.key)] = None if record.value is None else decode_head(record.value)
    await reader.stop()
    return found


async def test_the_feed_says_what_the_head_says() -> None:
    async with World() as world:
        key = (TENANT, "guide")
        for event in (
            await world.upsert("guide", 5, "text", security_level=2),
            world.event("guide", 6, SetAccess(("group:few",), 1)),
            world.event("guide", 7, Delete()),
        ):
            await world.apply.apply(event)
            head = await world.head("guide")
            assert head is not None
            assert await on_the_feed(world) == {key: published(head)}


async def test_the_feed_names_no_principal() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:board", "user:ann@example.org")))
        (value,) = await world.values(HEADS_TOPIC)
        assert b"board" not in value
        assert b"ann" not in value


async def test_what_a_change_takes_at_once_is_told_before_anything_else_is_done() -> None:
    names: list[str] = []

    async def note(name, call):
        names.append(name)
        return await call()

    async with World(note) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a", "group:b")))
        names.clear()
        await world.apply.apply(world.event("guide", 6, SetAccess(("group:b", "group:c"), 0)))
        wrote = [each for each in names if each.startswith(("heads.put", "log.append", "vectors."))]
        assert wrote == [
            "log.append",  # the announcement
            "heads.put",
            "log.append",
            "vectors.set_access",
            "heads.put",
            "log.append",
            "vectors.set_access",
        ]


@pytest.mark.parametrize("recreate", [False, True])
async def test_what_is_withdrawn_is_forgotten_and_leaves_no_tombstone_in_the_way(recreate: bool) -> None:
    deleted = False

    async def delete_before_commit(name, call):
        nonlocal deleted
        if name == "heads.put" and not deleted:
            deleted = True
            world.clock.advance(1)
            await world.manage.delete(WRITER, TENANT)
            if recreate:
                await world.manage.create(WRITER, TENANT, {})
        return await call()

    async with World(delete_before_commit) as world:
        event = await world.upsert("guide", 5, "text")
        await world.apply.apply(event)
        assert await world.stores.heads.get(event.key) is None
        assert (await on_the_feed(world))[TENANT, "guide"] is None


async def test_a_worker_that_died_before_it_saw_that_the_tenant_is_gone_leaves_no_head() -> None:
    committed = False

    async def delete_and_die(name, call):
        nonlocal committed
        result = await call()
        if name == "heads.put" and not committed:
            committed = True
            world.clock.advance(1)
            await world.stores.tenants.delete(TENANT)
            await world.manage.create(WRITER, TENANT, {})
            raise asyncio.CancelledError
        return result

    async with World(delete_and_die) as world:
        event = await world.upsert("guide", 5, "text")
        await asyncio.gather(asyncio.create_task(world.apply.apply(event)), return_exceptions=True)
        assert await world.stores.heads.get(event.key) is not None
        assert (await world.apply.apply(event)).reason == "UNKNOWN_TENANT"
        assert await world.stores.heads.get(event.key) is None
        assert await world.rows_of("guide") == (set(), set(), set())


async def test_a_dropped_tenant_leaves_nothing_on_the_feed_but_word_of_it() -> None:
    async with World() as world:
        for n in range(3):
            await world.apply.apply(await world.upsert(f"doc/{n}", 5, "text"))
        await world.apply.apply(world.event("gone", 6, Delete()))
        await world.manage.create(WRITER, "acme-2", {})
        await world.manage.delete(WRITER, TENANT)
        feed = await on_the_feed(world)
        assert set(feed) == {(TENANT, each) for each in ("doc/0", "doc/1", "doc/2", "gone", "")}
        assert set(feed.values()) == {None}


async def test_replicas_are_told_of_a_dropped_tenant_after_its_heads_are_gone() -> None:
    there: list[bool] = []

    async def look(name, call):
        if name == "log.append":
            there.append(await world.head("guide") is not None)
        return await call()

    async with World(look) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        there.clear()
        await world.manage.delete(WRITER, TENANT)
        assert there == [True, False]  # of the document, so that the topic shrinks; of the tenant
