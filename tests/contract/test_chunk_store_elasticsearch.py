"""The chunk store in Elasticsearch when its process dies half-way, or another process gets in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation
from tests.contract.corpus_samples import GENERATION, document, key
from tests.contract.elasticsearch_faults import (
    FaultyTransport,
    ItemsApplied,
    all_applied,
    faulty,
    first_half_applied,
    none_applied,
    second_half_applied,
)

from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.errors import DependencyUnavailable
from corpus.adapters.elasticsearch.chunk_store import SPECS, ElasticsearchChunkStore
from corpus.adapters.elasticsearch.chunk_store_rows import CHUNKS
from corpus.domain import ChunkedDocument

pytestmark = pytest.mark.cluster

FAULTS = (none_applied, first_half_applied, second_half_applied, all_applied)
MOST_ROWS = 6
Act = Callable[[ElasticsearchChunkStore, str], Awaitable[None]]


@dataclass(frozen=True)
class World:
    """A store that works, its connection, and a store that does not work."""

    connection: Store
    sound: ElasticsearchChunkStore
    broken: ElasticsearchChunkStore
    transport: FaultyTransport


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with elasticsearch_installation(SPECS) as connect:
        sound = connect()
        async with faulty(sound) as (store, transport):
            yield World(sound, ElasticsearchChunkStore(sound), ElasticsearchChunkStore(store), transport)


def before(name: str) -> ChunkedDocument:
    return document(name, chunks=6, sections=4, text="before")


def after(name: str) -> ChunkedDocument:
    return document(name, chunks=3, sections=1, text="after")


async def put_first(store: ElasticsearchChunkStore, name: str) -> None:
    await store.put(after(name))


async def put_anew(store: ElasticsearchChunkStore, name: str) -> None:
    await store.put(after(name))


async def delete(store: ElasticsearchChunkStore, name: str) -> None:
    await store.delete(key(name), 1, GENERATION)


async def rows(store: ElasticsearchChunkStore, name: str) -> dict[object, str]:
    """Text of every row that any put of these tests may have written, whether a manifest names it or not."""
    chunks = await store.get_chunks("acme", [f"{name}/1/{GENERATION}/{i}" for i in range(MOST_ROWS)])
    sections = await store.get_sections("acme", [(name, 1, GENERATION, i) for i in range(MOST_ROWS)])
    found: dict[object, str] = {chunk_id: stored.chunk.text for chunk_id, stored in chunks.items()}
    return found | {name: section.text for name, section in sections.items()}


def expected(of: ChunkedDocument) -> dict[object, str]:
    name = of.key.document_id
    found: dict[object, str] = {chunk.chunk_id: chunk.text for chunk in of.chunks}
    return found | {(name, 1, GENERATION, section.ordinal): section.text for section in of.sections}


async def fail_everywhere(world: World, act: Act, *, prepared: bool, fault: ItemsApplied) -> AsyncIterator[str]:
    """Lets ``act`` fail at its first request, at its second one and so on; yields the document it was done to."""
    for request in range(100):
        name = f"{act.__name__}-{request}"
        if prepared:
            await world.sound.put(before(name))
        world.transport.fail_at(request, fault)
        try:
            await act(world.broken, name)
        except DependencyUnavailable:
            yield name
        else:
            assert request >= 2, "nothing failed"
            return


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("act", "prepared"), [(put_first, False), (put_anew, True), (delete, True)])
async def test_what_a_crash_left_is_found_and_removed_by_a_delete(
    world: World, act: Act, prepared: bool, fault: ItemsApplied
) -> None:
    async for name in fail_everywhere(world, act, prepared=prepared, fault=fault):
        left = await rows(world.sound, name)
        named = {chunk.chunk_id for chunk in await world.sound.chunks_of(key(name), 1, GENERATION)}
        assert {row for row in left if isinstance(row, str)} <= named
        assert not left or await world.sound.versions_of(key(name)) == [(1, GENERATION)]
        await delete(world.sound, name)
        assert await rows(world.sound, name) == {}
        assert await world.sound.versions_of(key(name)) == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("act", "prepared"), [(put_first, False), (put_anew, True), (delete, True)])
async def test_a_put_after_a_crash_leaves_exactly_what_was_put(
    world: World, act: Act, prepared: bool, fault: ItemsApplied
) -> None:
    async for name in fail_everywhere(world, act, prepared=prepared, fault=fault):
        await world.sound.put(after(name))
        assert await rows(world.sound, name) == expected(after(name))
        assert list(await world.sound.chunks_of(key(name), 1, GENERATION)) == list(after(name).chunks)


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("other", ["delete", "put"])
async def test_whoever_comes_in_between_a_put_leaves_one_whole_version_or_none(
    world: World, prepared: bool, other: str
) -> None:
    outcomes = set()
    for request in range(100):
        name = f"document-{request}"
        if prepared:
            await world.sound.put(before(name))

        async def meanwhile(name: str = name) -> None:
            if other == "delete":
                await delete(world.sound, name)
            else:
                await world.sound.put(before(name))

        world.transport.interrupt_at(request, meanwhile)
        try:
            await world.broken.put(after(name))
        except DependencyUnavailable:
            assert await rows(world.sound, name) == ({} if other == "delete" else expected(before(name)))
            outcomes.add("overtaken")
        else:
            assert await rows(world.sound, name) == expected(after(name))
            outcomes.add("put")
        if world.transport.requests <= request:
            break
    assert outcomes == {"overtaken", "put"}


async def test_a_put_in_between_a_delete_leaves_one_whole_version_or_none(world: World) -> None:
    outcomes = set()
    for request in range(100):
        name = f"document-{request}"
        await world.sound.put(before(name))

        async def meanwhile(name: str = name) -> None:
            await world.sound.put(after(name))

        world.transport.interrupt_at(request, meanwhile)
        await delete(world.broken, name)
        left = await rows(world.sound, name)
        if world.transport.requests <= request:
            assert left == {}
            break
        assert left in ({}, expected(after(name)))
        assert (await world.sound.versions_of(key(name)) == []) == (left == {})
        outcomes.add(len(left))
    assert len(outcomes) == 2


async def test_a_put_that_slept_longer_than_deletes_are_remembered_fails_and_leaves_no_row(world: World) -> None:
    async def delete_and_forget() -> None:
        await delete(world.sound, "doc")
        await deletes_are_forgotten(world.connection)

    indexes = world.connection.client.indices
    await indexes.put_settings(index=world.connection.name(CHUNKS), settings={"index": {"gc_deletes": "0s"}})
    world.transport.interrupt_at(1, delete_and_forget)
    with pytest.raises(DependencyUnavailable) as caught:
        await put_first(world.broken, "doc")
    assert caught.value.reason == "VERSION_REMOVED"
    assert await rows(world.sound, "doc") == {}


async def deletes_are_forgotten(store: Store) -> None:
    """Waits until an old version of a row that was deleted just now is taken for a new row."""
    probe = Write(store.name(CHUNKS), "probe", None, version=2)
    await bulk(store, [replace(probe, source={}), probe])
    async with asyncio.timeout(10):
        while (await bulk(store, [replace(probe, source={}, version=1)]))[0].conflict:
            await asyncio.sleep(0.05)


async def test_the_whole_tenant_is_removed_in_parts(world: World) -> None:
    for number in range(45):
        await world.sound.put(document(f"document-{number}", chunks=1, sections=1))
    await world.sound.put(document("document-1", tenant_id="other", chunks=1))
    await world.sound.drop_tenant("acme")
    assert await world.sound.stored_versions("acme") == []
    assert await rows(world.sound, "document-7") == {}
    assert len(await world.sound.stored_versions("other")) == 1


async def test_versions_up_to_the_greatest_are_told_apart_and_in_order(world: World) -> None:
    greatest = 2**63 - 1
    for version in (greatest, greatest - 1, 2**53 + 1, 2**53):
        await world.sound.put(document(version=version, chunks=1, sections=1))
    found = [version for version, _ in await world.sound.versions_of(key())]
    assert found == [2**53, 2**53 + 1, greatest - 1, greatest]
    assert [chunk.chunks_version for chunk in await world.sound.chunks_of(key(), greatest, GENERATION)] == [greatest]
