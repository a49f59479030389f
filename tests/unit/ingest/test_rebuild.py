"""Rebuilding: one store from the others, with nothing guessed that decides who may read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.ingest.audits import audit, audits, counts
from tests.unit.ingest.generations_world import GenerationsWorld, promoted
from tests.unit.ingest.world import STAFF, TENANT, WRITER, World, stop, until

from chassis.eventlog.memory import MemoryEventLog
from corpus.domain import AccessPolicy, Announcement, CalledOff, DocumentKey, Head, HeadState
from corpus.feed import HEADS_TOPIC
from corpus.replica import HeadsReplica
from ingest.adapters.event_log import EventLogHeadFeed
from ingest.audit.differences import StoreName
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC
from ingest.domain import Draft
from ingest.rebuild import RebuildIndexes
from ingest.rebuild_heads import RebuildHeads

TEXT = "".join(f"{word} " * 160 + "\n" for word in ("one", "two", "three"))


def indexes(world: World) -> RebuildIndexes:
    auditor = audits(world)
    return RebuildIndexes(world.stores.tenants, world.stores.heads, world.rows, auditor.repair, auditor, 0.0)


class LogWithout:
    """The event log, of which some topics have been forgotten."""

    def __init__(self, log: MemoryEventLog, empty: MemoryEventLog, forgotten: tuple[str, ...]) -> None:
        self._log, self._empty, self._forgotten = log, empty, forgotten

    def reader(self, topic: str) -> Any:
        return (self._empty if topic in self._forgotten else self._log).reader(topic)


async def heads_of(world: World, *forgotten: str, told: Head | None = None) -> RebuildHeads:
    """``told`` is all that the feed has kept of heads, where it is forgotten; what was announced later says nothing of
    what was."""
    stores = world.stores
    empty = MemoryEventLog()
    for topic in (CHANGES_TOPIC, BULK_CHANGES_TOPIC, HEADS_TOPIC):
        await empty.ensure_topic(topic, 1)
    if told is not None:
        feed = EventLogHeadFeed(empty.producer(), world.clock, has_replicas=True)
        await feed.publish(told)
        await feed.announce(Announcement(told.key, "e", told.version + 1))
        await feed.call_off(CalledOff(told.key, "e"))
    return RebuildHeads(
        stores.tenants,
        stores.heads,
        stores.chunks,
        stores.ledger,
        stores.generations,
        LogWithout(stores.log, empty, forgotten),  # type: ignore[arg-type]
        EventLogHeadFeed(stores.log.producer(), world.clock, has_replicas=True),
        audits(world),
        world.apply.index,
    )


@asynccontextmanager
async def eventful() -> AsyncIterator[World]:
    """Documents with every kind of past, all applied."""
    async with World() as world:
        running = asyncio.create_task(world.consumer().run())
        await put(world, "plain", TEXT)
        await put(world, "edited", "old")
        await put(world, "edited", TEXT + "new", metadata={"label": "x"})
        await put(world, "touched", TEXT)
        await put(world, "touched", TEXT, ("public",))
        await put(world, "revoked", TEXT, ("public", "group:a"))
        await world.accept.set_access(WRITER, "revoked", 0, ("group:a",), 2)
        await put(world, "deleted", "text")
        await world.accept.delete(WRITER, "deleted", 0)
        await put(world, "back", "text")
        await world.accept.delete(WRITER, "back", 0)
        await put(world, "back", "text again")
        await applied(world)
        yield world
        await stop(running)


async def put(world: World, name: str, text: str, readers: tuple[str, ...] = STAFF, **said: Any) -> None:
    accept = replace(world.accept, max_document_bytes=100_000)
    await accept.put(WRITER, Draft(name, filename="a.txt", principals=readers, **said), text.encode())
    await applied(world)
    world.clock.advance(1)


async def applied(world: World) -> None:
    async def nothing_waits() -> bool:
        return not await world.stores.ledger.oldest_pending(await world.stores.tenant_id(), 1)

    await until(nothing_waits)


async def all_heads(world: World) -> dict[str, Head]:
    page = await world.stores.heads.list(TENANT, limit=1000, include_deleted=True)
    return {head.key.document_id: replace(head, updated_at=world.clock.now(), ingest_trace_id="") for head in page}


@pytest.mark.parametrize("store", [StoreName.VECTOR, StoreName.LEXICAL])
async def test_a_lost_index_is_filled_again_and_named_as_degraded_until_then(store: StoreName) -> None:
    async with eventful() as world:
        index = world.stores.vectors if store is StoreName.VECTOR else world.stores.lexical
        generation = world.generation.current().name
        before = await index.chunk_ids(generation, TENANT)
        current = {name for head in (await all_heads(world)).values() for name in await named(world, head)}
        await index.drop_tenant(TENANT)
        during: list[Any] = []

        async def look(stage: str, done: int) -> None:
            tenant = await world.stores.tenants.get(TENANT)
            during.append(tenant.rebuilding if tenant else None)

        made = await indexes(world).rebuild(TENANT, store, progress=look)
        assert set(during) == {frozenset({store.value})}
        tenant = await world.stores.tenants.get(TENANT)
        assert tenant is not None
        assert tenant.rebuilding == frozenset()
        rebuilt = await index.chunk_ids(generation, TENANT)
        assert rebuilt.keys() == current
        assert rebuilt.items() <= before.items()
        assert (made.written, made.audit.left) == (len(current), [])
        assert (await indexes(world).rebuild(TENANT, store)).written == 0
        again = await indexes(world).rebuild(TENANT, store, drop=True)
        assert again.written == len(current)
        assert counts(await audit(world)) == {}


async def named(world: World, head: Head) -> set[str]:
    chunks = await world.stores.chunks.chunks_of(head.key, head.chunks_version, head.generation)
    return {chunk.chunk_id for chunk in chunks} if head.state is HeadState.LIVE else set()


async def test_a_rebuild_that_was_cut_off_goes_on_where_it_ended() -> None:
    left = 3

    async def fail(name, call):
        nonlocal left
        if name == "vectors.write":
            left -= 1
            if left == 0:
                raise asyncio.CancelledError  # as when whoever asked for it goes away
        return await call()

    async with World(fail) as world:
        left = 1_000
        for n in range(6):
            await world.apply.apply(await world.upsert(f"d{n}", 1, TEXT))
        await world.stores.vectors.drop_tenant(TENANT)
        left = 3
        with pytest.raises(asyncio.CancelledError):
            await indexes(world).rebuild(TENANT, StoreName.VECTOR)
        tenant = await world.stores.tenants.get(TENANT)
        assert tenant is not None
        assert tenant.rebuilding == {"vector"}
        left = 1_000
        made = await indexes(world).rebuild(TENANT, StoreName.VECTOR)
        assert made.written == 4 * 3
        assert counts(await audit(world)) == {}


async def test_lost_heads_come_back_from_the_log_exactly_as_they_were() -> None:
    async with eventful() as world:
        before = await all_heads(world)
        assert len(before) == 6
        await world.stores.heads.drop_tenant(TENANT)
        made = await (await heads_of(world)).rebuild(TENANT)
        assert (made.written, made.without_readers, made.lost) == (6, [], [])
        assert await all_heads(world) == before
        assert made.audit.left == []
        assert (await (await heads_of(world)).rebuild(TENANT)).written == 0


async def test_without_the_log_the_feed_says_who_may_read() -> None:
    async with eventful() as world:
        before = await all_heads(world)
        await world.stores.heads.drop_tenant(TENANT)
        made = await (await heads_of(world, CHANGES_TOPIC, BULK_CHANGES_TOPIC)).rebuild(TENANT)
        assert (made.without_readers, made.lost) == ([], [])
        after = await all_heads(world)
        for name, head in before.items():
            told = after[name]
            assert (told.version, told.chunks_version, told.state) == (head.version, head.chunks_version, head.state)
            assert (told.access, told.expires_at) == (head.access, head.expires_at)
            assert (told.title, told.metadata, told.object_key) == (head.title, head.metadata, head.object_key)
        assert counts(await audit(world)) == {}


async def test_replicas_ask_about_what_is_rebuilt_until_it_is_told() -> None:
    async with eventful() as world:
        key = DocumentKey(TENANT, "revoked")
        asked: list[str] = []

        async def authority_of(tenant_id: str, document_ids: Any) -> Any:
            asked.extend(document_ids)
            return await world.stores.heads.get_many(tenant_id, document_ids)

        authority = SimpleNamespace(get_many=authority_of)
        replica = HeadsReplica(authority, lambda: world.stores.log.reader(HEADS_TOPIC), world.clock)  # type: ignore[arg-type]
        following = asyncio.create_task(replica.run())

        async def settled() -> bool:
            return replica.is_current() and not replica.unanswered()

        await until(settled)
        known = await replica.get(key)
        assert known is not None
        assert known.access.tokens
        await world.stores.heads.drop_tenant(TENANT)
        await (await heads_of(world, CHANGES_TOPIC, BULK_CHANGES_TOPIC, HEADS_TOPIC)).rebuild(TENANT)
        world.clock.advance(1)
        await until(settled)
        served = await replica.get(key)
        assert served is not None
        assert (served.version, served.access.tokens) == (known.version, frozenset())
        asked.clear()
        assert await replica.get(key) == served
        assert asked == []
        await stop(following)


async def test_the_feeds_word_counts_whatever_was_announced_after_it() -> None:
    async with eventful() as world:
        head = await world.head("revoked")
        assert head is not None
        await world.stores.heads.drop_tenant(TENANT)
        forgotten = (CHANGES_TOPIC, BULK_CHANGES_TOPIC, HEADS_TOPIC)
        made = await (await heads_of(world, *forgotten, told=head)).rebuild(TENANT)
        assert "revoked" not in made.without_readers
        back = await world.head("revoked")
        assert back is not None
        assert (back.version, back.access) == (head.version, head.access)


async def test_an_old_word_of_the_feed_is_not_believed() -> None:
    async with eventful() as world:
        head = await world.head("revoked")
        assert head is not None
        wide = replace(head, version=head.version - 1, access=AccessPolicy(frozenset({"everybody"})))
        await world.stores.heads.drop_tenant(TENANT)
        forgotten = (CHANGES_TOPIC, BULK_CHANGES_TOPIC, HEADS_TOPIC)
        made = await (await heads_of(world, *forgotten, told=wide)).rebuild(TENANT)
        assert "revoked" in made.without_readers
        back = await world.head("revoked")
        assert back is not None
        assert (back.version, back.access.tokens) == (head.version, frozenset())


async def test_without_log_and_feed_documents_come_back_for_nobody_and_deleted_ones_not_at_all() -> None:
    async with eventful() as world:
        await world.stores.heads.drop_tenant(TENANT)
        forgotten = (CHANGES_TOPIC, BULK_CHANGES_TOPIC, HEADS_TOPIC)
        made = await (await heads_of(world, *forgotten)).rebuild(TENANT)
        assert made.without_readers == ["back", "edited", "plain", "revoked", "touched"]
        after = await all_heads(world)
        assert after["deleted"].state is HeadState.DELETED
        assert all(head.access.tokens == frozenset() for head in after.values())
        named_now = {(name, head.chunks_version) for name, head in after.items() if head.state is HeadState.LIVE}
        assert await world.found_by("public", *STAFF, "group:a", clearance=9) & named_now == set()


async def test_without_the_ledger_too_nothing_comes_back() -> None:
    async with eventful() as world:
        await world.stores.heads.drop_tenant(TENANT)
        await world.stores.ledger.drop_tenant(TENANT)
        forgotten = (CHANGES_TOPIC, BULK_CHANGES_TOPIC, HEADS_TOPIC)
        made = await (await heads_of(world, *forgotten)).rebuild(TENANT)
        assert made.lost == ["back", "deleted", "edited", "plain", "revoked", "touched"]
        assert await all_heads(world) == {}


async def test_heads_that_are_there_are_never_made_older() -> None:
    async with eventful() as world:
        newer = await world.head("plain")
        assert newer is not None
        await world.stores.heads.put(replace(newer, version=newer.version + 5))
        await (await heads_of(world)).rebuild(TENANT)
        head = await world.head("plain")
        assert head is not None
        assert head.version == newer.version + 5


async def test_a_change_of_access_that_found_no_head_does_not_delete_its_document() -> None:
    async with eventful() as world:
        await world.stores.heads.drop_tenant(TENANT)
        await world.accept.set_access(WRITER, "plain", 0, ("group:new",), 0)
        await applied(world)
        small = await world.head("plain")
        assert small is not None
        assert small.state is HeadState.DELETED
        await (await heads_of(world)).rebuild(TENANT)
        head = await world.stores.heads.get(DocumentKey(TENANT, "plain"))
        assert head is not None
        assert (head.state, head.principals, head.version) == (HeadState.LIVE, ("group:new",), small.version)
        assert counts(await audit(world)) == {}


async def test_documents_whose_chunks_are_lost_as_well_are_made_from_their_bytes() -> None:
    async with eventful() as world:
        before = await all_heads(world)
        await world.stores.heads.drop_tenant(TENANT)
        await world.stores.chunks.drop_tenant(TENANT)
        made = await (await heads_of(world)).rebuild(TENANT)
        assert made.lost == []
        assert await all_heads(world) == before
        assert counts(await audit(world)) == {}


async def test_documents_of_a_promoted_generation_are_cut_as_it_cuts_them_and_not_as_the_settings_say() -> None:
    async with GenerationsWorld() as world:
        running = asyncio.create_task(world.consumer().run())
        text = "\n".join(f"text number {n} of the long one is here" for n in range(30))
        await put(world, "a", text)
        name = await promoted(world)
        # Written by the worker, and by the build.
        await put(world, "b", text)
        before = await chunks_in(world, name)
        heads = await heads_of(world)
        heads.index, heads.recipes = world.as_set, world.recipes
        await world.stores.heads.drop_tenant(TENANT)
        await world.stores.chunks.drop_tenant(TENANT)
        made = await heads.rebuild(TENANT)
        assert (made.written, made.lost) == (2, [])
        assert min(len(each) for each in before.values()) > 2
        assert await chunks_in(world, name) == before
        assert await world.served() == {"a": text, "b": text}
        await stop(running)


async def chunks_in(world: World, generation: str) -> dict[str, list[tuple[str, str]]]:
    """Id and text of the chunks that heads name, by document."""
    return {
        head.key.document_id: [
            (chunk.chunk_id, chunk.text)
            for chunk in await world.stores.chunks.chunks_of(head.key, head.chunks_version, generation)
        ]
        for head in await world.stores.heads.list(TENANT)
    }
