"""Rolling back: an earlier content under a new version, never for more readers than there are now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.world import READER, STAFF, TENANT, WRITER, World, stop, until

from chassis.errors import FailedPrecondition, NotFound, PermissionDenied
from corpus.domain import ChangeKind, ChangeRecord, ChangeState, DocumentKey, HeadState
from ingest.domain import Draft
from ingest.versions.rollback import RollBackDocuments

GRACE = 3600.0
KEY = DocumentKey(TENANT, "guide")


def rollbacks(world: World) -> RollBackDocuments:
    stores = world.stores
    return RollBackDocuments(stores.heads, stores.chunks, stores.ledger, stores.objects, world.accept)


@asynccontextmanager
async def working() -> AsyncIterator[World]:
    """A world with a worker."""
    async with World() as world:
        running = asyncio.create_task(world.consumer().run())
        yield world
        await stop(running)


async def applied(world: World) -> None:
    async def nothing_waits() -> bool:
        return not await world.stores.ledger.oldest_pending(TENANT, 1)

    await until(nothing_waits)


async def put(world: World, text: str, readers: tuple[str, ...] = STAFF, **said: object) -> int:
    draft = Draft("guide", filename="a.txt", principals=readers, **said)  # type: ignore[arg-type]
    receipt = await world.accept.put(WRITER, draft, text.encode())
    await applied(world)
    world.clock.advance(1)
    return receipt.version


async def test_a_document_goes_back_to_its_earlier_content_under_a_new_version() -> None:
    async with working() as world:
        first = await put(world, "one", title="First", doc_type="manual")
        second = await put(world, "two", title="Second")
        made = await rollbacks(world).roll_back(WRITER, "guide")
        assert (made.restored_version, made.without_readers) == (first, False)
        assert made.receipt.version == second + 1
        await applied(world)
        head = await world.head("guide")
        assert head is not None
        assert (head.version, head.chunks_version) == (second + 1, second + 1)
        assert (head.title, head.doc_type, head.filename) == ("First", "manual", "a.txt")
        assert await world.text("guide") == "one"
        assert await world.found_by(*STAFF) >= {("guide", second + 1)}
        # And forward again: what was rolled back is an earlier version now.
        assert (await rollbacks(world).roll_back(WRITER, "guide")).restored_version == second
        await applied(world)
        assert await world.text("guide") == "two"


async def test_readers_level_and_expiry_stay_those_of_now() -> None:
    async with working() as world:
        later = world.clock.now() + timedelta(days=1)
        first = await put(world, "one", ("public",), security_level=0)
        await put(world, "two", ("group:a", "group:b"), security_level=1, expires_at=later)
        await world.accept.set_access(WRITER, "guide", 0, ("group:a",), 3)
        await applied(world)
        made = await rollbacks(world).roll_back(WRITER, "guide", first)
        assert made.restored_version == first
        await applied(world)
        head = await world.head("guide")
        assert head is not None
        assert (head.principals, head.access.security_level, head.expires_at) == (("group:a",), 3, later)
        assert await world.text("guide") == "one"
        assert await world.found_by("public", "group:b", clearance=9) & {("guide", head.version)} == set()


async def test_a_deleted_document_comes_back_for_nobody() -> None:
    async with working() as world:
        first = await put(world, "one", ("public",))
        await world.accept.delete(WRITER, "guide", 0)
        await applied(world)
        made = await rollbacks(world).roll_back(WRITER, "guide")
        assert (made.restored_version, made.without_readers) == (first, True)
        await applied(world)
        head = await world.head("guide")
        assert head is not None
        assert (head.state, head.principals, head.access.tokens) == (HeadState.LIVE, (), frozenset())


async def refused(world: World, to_version: int = 0) -> str:
    with pytest.raises(FailedPrecondition) as caught:
        await rollbacks(world).roll_back(WRITER, "guide", to_version)
    return caught.value.reason


async def test_what_was_swept_can_not_be_restored_and_the_refusal_says_so() -> None:
    async with working() as world:
        first = await put(world, "one")
        assert await refused(world) == "NO_EARLIER_VERSION"
        second = await put(world, "two")
        assert await refused(world, second) == "ALREADY_LIVE"
        world.clock.advance(2 * GRACE)
        assert await world.sweeper(GRACE).sweep() == 1
        assert await refused(world) == await refused(world, first) == "VERSION_SWEPT"


async def test_lost_bytes_and_waiting_changes_refuse_a_rollback() -> None:
    async with working() as world:
        await put(world, "one")
        first_head = await world.head("guide")
        assert first_head is not None
        second = await put(world, "two")
        record = ChangeRecord("e9", KEY, second + 9, ChangeKind.SET_ACCESS, ChangeState.PENDING, world.clock.now(), "f")
        await world.stores.ledger.accept(record)
        assert await refused(world) == "CHANGES_PENDING"
        await world.stores.ledger.finish("e9", ChangeState.APPLIED, at=world.clock.now())
        await world.stores.objects.delete(first_head.object_key)
        assert await refused(world) == "CONTENT_MISSING"


async def test_a_version_that_never_was_live_is_not_gone_back_to() -> None:
    async with working() as world:
        first = await put(world, "one")
        second = await put(world, "three")
        # A worker wrote the rows of a version and was overtaken before it could write the head.
        overtaken = await world.upsert("guide", second - 1, "two")
        await world.apply.index.index(overtaken, overtaken.change, world.generation.current())  # type: ignore[arg-type]
        record = ChangeRecord(
            overtaken.event_id, KEY, second - 1, ChangeKind.UPSERT, ChangeState.PENDING, world.clock.now(), "f"
        )
        await world.stores.ledger.accept(record)
        await world.stores.ledger.finish(record.event_id, ChangeState.SUPERSEDED, at=world.clock.now())
        assert await refused(world, second - 1) == "VERSION_NOT_SERVED"
        kept = await rollbacks(world).versions(WRITER, "guide")
        assert [(each.version, each.served, each.restorable) for each in kept] == [
            (second, True, False),
            (second - 1, False, False),
            (first, False, True),
        ]
        assert (await rollbacks(world).roll_back(WRITER, "guide")).restored_version == first


async def test_a_revocation_that_is_accepted_at_the_same_time_is_not_undone() -> None:
    async with working() as world:
        await put(world, "one", ("public",))
        await put(world, "two", ("public",))
        gate = asyncio.Event()
        rolling = rollbacks(world)

        class Held:
            """The object store, which keeps a rollback waiting between reading the head and accepting."""

            async def exists(self, key: str) -> bool:
                await gate.wait()
                return True

        held = asyncio.create_task(replace(rolling, objects=Held()).roll_back(WRITER, "guide"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await world.accept.set_access(WRITER, "guide", 0, (), 0)
        await applied(world)
        gate.set()
        await asyncio.gather(held, return_exceptions=True)
        await applied(world)
        head = await world.head("guide")
        assert head is not None
        assert head.access.tokens == frozenset()


async def test_a_rollback_needs_the_write_scope_and_a_document() -> None:
    async with working() as world:
        await put(world, "one")
        with pytest.raises(PermissionDenied):
            await rollbacks(world).roll_back(READER, "guide")
        with pytest.raises(PermissionDenied):
            await rollbacks(world).versions(READER, "guide")
        with pytest.raises(NotFound):
            await rollbacks(world).roll_back(WRITER, "unknown")
