"""Expiry and aged tombstones: nobody who prolongs a document loses it, and nothing late brings one back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.world import STAFF, TENANT, WRITER, World, stop, until

from chassis.errors import DependencyUnavailable
from corpus.adapters.memory.dead_letters import MemoryDeadLetterStore
from corpus.adapters.memory.heads import MemoryHeads
from corpus.dead_letters import Letter, LetterState
from corpus.domain import MAX_VERSION, Announcement, CalledOff, ChangeKind, ChangeState, DocumentKey, HeadState
from corpus.feed import HEADS_TOPIC, decode_announcement
from ingest.adapters.event_log import EventLogHeadFeed
from ingest.domain import Draft
from ingest.expire import MOST_FAILURES, Expired, ExpireDocuments

RETENTION = 30 * 24 * 3600.0


def expiry(world: World, letters: MemoryDeadLetterStore | None = None) -> ExpireDocuments:
    stores = world.stores
    feed = EventLogHeadFeed(stores.log.producer(), world.clock, has_replicas=True)
    return ExpireDocuments(
        stores.tenants,
        stores.heads,
        stores.ledger,
        letters or MemoryDeadLetterStore(),
        world.accept,
        feed,
        world.clock,
        RETENTION,
    )


@asynccontextmanager
async def working() -> AsyncIterator[World]:
    async with World() as world:
        running = asyncio.create_task(world.consumer().run())
        yield world
        await stop(running)


async def applied(world: World) -> None:
    async def nothing_waits() -> bool:
        return not await world.stores.ledger.oldest_pending(TENANT, 1)

    await until(nothing_waits)


async def put(world: World, text: str, expires_in: float | None, version: int = 0) -> int:
    at = world.clock.now() + timedelta(seconds=expires_in) if expires_in is not None else None
    draft = Draft("guide", version, filename="a.txt", principals=STAFF, expires_at=at)
    return (await world.accept.put(WRITER, draft, text.encode())).version


async def test_an_expired_document_becomes_a_tombstone_and_only_an_expired_one() -> None:
    async with working() as world:
        version = await put(world, "one", 10.0)
        await applied(world)
        assert await expiry(world).expire() == Expired()
        world.clock.advance(11)
        assert await expiry(world).expire() == Expired(deleted=1)
        await applied(world)
        head = await world.head("guide")
        assert head is not None
        assert (head.state, head.version) == (HeadState.DELETED, version + 1)
        assert await expiry(world).expire() == Expired()


async def test_two_sweepers_at_once_delete_once() -> None:
    async with working() as world:
        version = await put(world, "one", 10.0)
        await applied(world)
        world.clock.advance(11)
        await asyncio.gather(expiry(world).expire(), expiry(world).expire())
        await applied(world)
        records = await world.stores.ledger.newest((await world.head("guide")).key)  # type: ignore[union-attr]
        assert [(record.version, record.state) for record in records] == [
            (version + 1, ChangeState.APPLIED),
            (version, ChangeState.APPLIED),
        ]


async def test_who_prolongs_a_document_wins_over_its_expiry() -> None:
    async with World() as world:
        running = asyncio.create_task(world.consumer().run())
        await put(world, "one", 10.0)
        await applied(world)
        await stop(running)
        world.clock.advance(11)
        # Accepted, and not applied yet: the expiry waits for it.
        await put(world, "one", 1000.0)
        assert await expiry(world).expire() == Expired()
        running = asyncio.create_task(world.consumer().run())
        await applied(world)
        head = await world.head("guide")
        assert head is not None
        assert head.state is HeadState.LIVE
        assert await expiry(world).expire() == Expired()
        # And the other way round: the delete is accepted first, the longer life has a greater version.
        world.clock.advance(1001)
        await asyncio.gather(expiry(world).expire(), put(world, "one", 5000.0))
        await applied(world)
        head = await world.head("guide")
        assert head is not None
        assert head.state is HeadState.LIVE
        await stop(running)


async def test_a_tombstone_is_forgotten_after_its_retention_and_the_feed_is_told() -> None:
    async with working() as world:
        await put(world, "one", None, version=4)
        await applied(world)
        await world.accept.delete(WRITER, "guide", 5)
        await applied(world)
        world.clock.advance(RETENTION - 10)
        assert await expiry(world).expire() == Expired()
        late = await world.upsert("guide", 4, "late")
        assert (await world.apply.apply(late)).state is ChangeState.SUPERSEDED
        world.clock.advance(20)
        assert await expiry(world).expire() == Expired(forgotten=1)
        assert await world.head("guide") is None
        assert (await world.values(HEADS_TOPIC))[-1] == b""


async def test_who_dies_between_purge_and_record_leaves_readers_in_doubt_and_who_purges_nothing_does_not() -> None:
    async with working() as world:
        await put(world, "one", None, version=4)
        await world.accept.delete(WRITER, "guide", 5)
        await applied(world)
        world.clock.advance(2 * RETENTION)
        tombstone = await world.head("guide")
        assert tombstone is not None
        passing = expiry(world)
        newer = replace(tombstone, version=6)

        class Overtaken(MemoryHeads):
            async def purge(self, key: DocumentKey, version: int) -> None:
                await world.stores.heads.put(newer)
                await world.stores.heads.purge(key, version)

        heads = Overtaken()
        heads.get = world.stores.heads.get  # type: ignore[method-assign]
        heads.list = world.stores.heads.list  # type: ignore[method-assign]
        await replace(passing, heads=heads).expire()
        assert isinstance(await last_said(world), CalledOff)

        class Dying(EventLogHeadFeed):
            async def forget(self, key: DocumentKey) -> None:
                raise RuntimeError("gone")

        feed = Dying(world.stores.log.producer(), world.clock, has_replicas=True)
        with pytest.raises(RuntimeError, match="gone"):
            await replace(passing, feed=feed).expire()
        assert await world.head("guide") is None
        last = await last_said(world)
        assert isinstance(last, Announcement)
        assert last.version == newer.version + 1


async def last_said(world: World) -> Announcement | CalledOff | None:
    (value,) = await world.values(HEADS_TOPIC)
    return decode_announcement(value)


async def test_a_tombstone_stays_while_an_older_change_may_still_be_replayed() -> None:
    async with working() as world:
        await put(world, "BAD text", None, version=4)
        await applied(world)
        await world.accept.delete(WRITER, "guide", 5)
        await applied(world)
        world.clock.advance(2 * RETENTION)
        assert await expiry(world).expire() == Expired()
        [dead] = await world.stores.ledger.newest_dead_letters(TENANT, 5)
        forgetful = replace(dead, state=ChangeState.APPLIED)
        world.stores.ledger._records[dead.event_id] = forgetful
        letters = MemoryDeadLetterStore()
        now = world.clock.now()
        letter = Letter(
            "l1", LetterState.OPEN, TENANT, "guide", 4, ChangeKind.UPSERT, "t", 0, 0, "UNREADABLE", now, "UNREADABLE",
            "", now, 1,
        )  # fmt: skip
        assert await letters.put(letter, expected=None)
        assert await expiry(world, letters).expire() == Expired()
        assert await expiry(world).expire() == Expired(forgotten=1)


async def test_a_document_that_can_not_be_deleted_stops_no_other() -> None:
    async with working() as world:
        at = world.clock.now() + timedelta(seconds=5)
        for name, version in (("a", MAX_VERSION), ("b", 1)):
            await world.accept.put(WRITER, Draft(name, version, filename="a.txt", expires_at=at), b"text")
        await applied(world)
        world.clock.advance(10)
        assert await expiry(world).expire() == Expired(deleted=1)
        await applied(world)
        head = await world.head("b")
        assert head is not None
        assert head.state is HeadState.DELETED


async def test_a_pass_ends_when_nothing_can_be_deleted_any_more() -> None:
    tried = 0

    async def away(name, call):
        nonlocal tried
        if name == "ledger.find":
            tried += 1
            raise DependencyUnavailable("away")
        return await call()

    async with working() as world:
        at = world.clock.now() + timedelta(seconds=5)
        for n in range(30):
            await world.accept.put(WRITER, Draft(f"d{n:02}", 1, filename="a.txt", expires_at=at), b"text")
        await applied(world)
        world.clock.advance(10)
        async with World(away, world.stores, clock=world.clock) as broken:
            with pytest.raises(DependencyUnavailable):
                await expiry(broken).expire()
        assert tried == MOST_FAILURES
