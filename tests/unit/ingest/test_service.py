"""Looking at documents and changes, and keeping tenants apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.world import READER, STAFF, START, TENANT, WRITER, World

from chassis.errors import InvalidRequest, NotFound, PermissionDenied
from chassis.identity import Caller
from corpus.domain import ChangeState, FieldType, HeadState
from ingest.domain import Delete, Draft

STRANGER = Caller(TENANT, "eve")
ELSEWHERE = replace(WRITER, tenant_id="other")


async def listed(world: World, caller: Caller, page_size: int = 100, **options: object) -> list[str]:
    found, after = [], ""
    while True:
        said = {"prefix": "", "include_deleted": False, **options}
        page, after = await world.look.list(caller, after=after, page_size=page_size, **said)
        found += [head.key.document_id for head in page]
        if not after:
            return found


async def test_a_document_is_seen_by_its_readers_and_its_writers_only() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "text"))
        assert (await world.look.get(READER, "guide")).changes == ()
        assert (await world.look.get(WRITER, "guide")).head is not None
        for caller in (STRANGER, ELSEWHERE):
            with pytest.raises(NotFound) as raised:
                await world.look.get(caller, "guide")
            assert raised.value.reason == "UNKNOWN_DOCUMENT"


async def test_too_little_clearance_an_expiry_and_a_delete_hide_a_document_from_its_readers() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("secret", 1, "text", security_level=2))
        await world.apply.apply(await world.upsert("old", 1, "text", expires_at=START + timedelta(hours=1)))
        await world.apply.apply(await world.upsert("gone", 1, "text"))
        assert await listed(world, READER) == ["gone", "old"]
        assert await listed(world, replace(READER, clearance=2)) == ["gone", "old", "secret"]
        world.clock.advance(7200)
        await world.apply.apply(world.event("gone", 2, Delete()))
        assert await listed(world, READER) == []
        assert await listed(world, READER, include_deleted=True) == []
        assert await listed(world, WRITER, include_deleted=True) == ["gone", "old", "secret"]


async def test_a_writer_follows_a_change_to_its_end_also_before_anything_is_applied() -> None:
    async with World() as world:
        receipt = await world.accept.put(WRITER, Draft("guide", principals=STAFF), b"text")
        view = await world.look.get(WRITER, "guide")
        assert view.head is None
        assert [record.state for record in view.changes] == [ChangeState.PENDING]
        with pytest.raises(NotFound):
            await world.look.get(READER, "guide")
        (record,) = await world.look.changes(WRITER, [receipt.event_id, "unknown"])
        assert record.version == receipt.version
        assert await world.look.changes(ELSEWHERE, [receipt.event_id]) == []


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100])
async def test_pages_together_are_the_whole_list_whatever_the_caller_may_not_see(page_size: int) -> None:
    async with World() as world:
        for n in range(12):
            readers = STAFF if n % 3 else ("group:few",)
            await world.apply.apply(await world.upsert(f"{'ab'[n % 2]}/{n:02}", 1, "text", readers))
        everything = sorted(f"{'ab'[n % 2]}/{n:02}" for n in range(12))
        assert await listed(world, WRITER, page_size) == everything
        mine = [name for name in everything if int(name[2:]) % 3]
        assert await listed(world, READER, page_size) == mine
        assert await listed(world, READER, page_size, prefix="b/") == [name for name in mine if name[0] == "b"]


async def test_status_counts_the_changes_of_the_callers_tenant_by_their_end() -> None:
    async with World() as world:
        await world.manage.create(WRITER, "other", {})
        await world.accept.put(ELSEWHERE, Draft("x", principals=STAFF), b"text")
        good = await world.accept.put(WRITER, Draft("good", principals=STAFF), b"text")
        bad = await world.accept.put(WRITER, Draft("bad", principals=STAFF), b"BAD")
        await world.stores.ledger.finish(
            bad.event_id, ChangeState.DEAD_LETTERED, at=world.clock.now(), reason="UNREADABLE", message="m"
        )
        status = await world.look.status(WRITER, 5)
        assert status.change_counts == {ChangeState.PENDING: 1, ChangeState.DEAD_LETTERED: 1}
        assert [record.event_id for record in status.oldest_pending] == [good.event_id]
        assert [record.reason for record in status.newest_dead_letters] == ["UNREADABLE"]
        assert status.generation == world.generation.current().name
        assert (await world.look.status(WRITER, 0)).newest_dead_letters == ()


async def test_writers_and_administrators_only_may_do_what_is_theirs() -> None:
    async with World() as world:
        for call in (
            world.look.changes(READER, ["x"]),
            world.look.status(READER, 5),
            world.manage.create(READER, "new", {}),
            world.manage.delete(READER, TENANT),
            world.manage.list(READER),
        ):
            with pytest.raises(PermissionDenied):
                await call
        with pytest.raises(InvalidRequest):
            await world.look.changes(WRITER, [str(n) for n in range(1001)])


async def test_a_deleted_tenant_leaves_nothing_behind_and_its_neighbour_everything() -> None:
    async with World() as world:
        await world.manage.create(WRITER, "acme-2", {"year": FieldType.NUMBER})
        neighbour = replace(WRITER, tenant_id="acme-2")
        await world.accept.put(neighbour, Draft("theirs", principals=STAFF), b"theirs")
        await world.accept.put(WRITER, Draft("mine", principals=STAFF), b"mine")
        await world.apply.apply(await world.upsert("guide", 1, "text"))
        for key in (f"uploads/{TENANT}/broken", f"collected/documents/{TENANT}/ab/abc"):
            await world.stores.objects.put(key, b"mine")
        await world.manage.delete(WRITER, TENANT)
        await world.manage.delete(WRITER, TENANT)
        assert [tenant.tenant_id for tenant in await world.manage.list(WRITER)] == ["acme-2"]
        assert await world.stores.heads.list(TENANT, include_deleted=True) == []
        assert await world.rows_of("guide") == (set(), set(), set())
        assert await world.stores.ledger.counts(TENANT) == {}
        assert list(world.stores.objects.objects.values()) == [b"theirs"]
        assert (await world.stores.ledger.counts("acme-2"))[ChangeState.PENDING] == 1


async def test_a_tombstone_is_shown_as_deleted_to_writers() -> None:
    async with World() as world:
        await world.apply.apply(world.event("guide", 3, Delete()))
        view = await world.look.get(WRITER, "guide")
        assert view.head is not None
        assert view.head.state is HeadState.DELETED
