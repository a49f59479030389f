"""A tenant's name may be used again at once: whoever stood still since before writes nothing that the later tenant
has, reads or counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.world import READER, STAFF, START, TENANT, WRITER, World

from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound
from corpus.dead_letters import LetterFilter
from corpus.domain import ChangeState, DocumentKey, Tenant
from ingest.dead_letters.decide import LetterOutcome
from ingest.dead_letters.messages import letter as letter_message
from ingest.domain import Delete, DocumentChange, Draft, belongs_to
from ingest.messages import tenant as tenant_message
from ingest.versions.rollback import RollBackDocuments

AGAIN = f"{TENANT}_1"


class StandStill:
    """The worker that makes this call first stands still before it, for as long as somebody does something else."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, name: str, call: Any) -> Any:
        if name == self.call and not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()
        return await call()


async def use_the_name_again(world: World) -> None:
    await world.manage.delete(WRITER, TENANT)
    assert (await world.manage.create(WRITER, TENANT, {})).tenant_id == AGAIN


async def of_the_later_tenant(world: World, document_id: str, version: int, text: str) -> DocumentChange:
    event = await world.upsert(document_id, version, text)
    return replace(event, event_id=f"later-{event.event_id}", key=DocumentKey(AGAIN, document_id))


async def texts_served(world: World) -> dict[str, str]:
    """What the later tenant's staff would be shown, by document."""
    assert await world.stores.tenant_id() == AGAIN
    found = await world.found_by(*STAFF)
    served = {}
    for document_id, chunks_version in found:
        head = await world.head(document_id)
        if head is not None and head.chunks_version == chunks_version:
            served[document_id] = await world.text(document_id)
    return served


@pytest.mark.parametrize("call", ["heads.put", "chunks.put", "vectors.write", "lexical.write"])
@pytest.mark.parametrize("version", [1, 5, 9])
async def test_a_worker_that_stood_still_since_before_takes_nothing_from_the_later_tenant(
    call: str, version: int
) -> None:
    stands = StandStill(call)
    async with World(stands) as world:
        sleeper = asyncio.create_task(world.apply.apply(await world.upsert("guide", 5, "old")))
        await stands.reached.wait()
        await use_the_name_again(world)
        later = await of_the_later_tenant(world, "guide", version, "new")
        assert (await world.apply.apply(later)).state is ChangeState.APPLIED
        stands.go_on.set()
        assert (await sleeper).reason == "UNKNOWN_TENANT"
        assert await texts_served(world) == {"guide": "new"}
        head = await world.head("guide")
        assert head is not None
        assert head.version == version
        assert await world.stores.heads.get(DocumentKey(TENANT, "guide")) is None


async def test_what_an_earlier_tenant_left_is_not_there_for_a_later_one() -> None:
    async with World() as world:
        event = await world.upsert("guide", 5, "old")
        await world.apply.apply(event)
        left = await world.head("guide")
        assert left is not None
        await use_the_name_again(world)
        # It stood still, wrote this, and died before it could see that it was too late.
        await world.stores.heads.put(left)
        assert await texts_served(world) == {}
        with pytest.raises(NotFound):
            await world.look.get(WRITER, "guide")
        assert (await world.look.list(WRITER, after="", prefix="", page_size=0, include_deleted=True))[0] == []
        stores = world.stores
        rollbacks = RollBackDocuments(stores.heads, stores.chunks, stores.ledger, stores.objects, world.accept)
        with pytest.raises(NotFound):
            await rollbacks.versions(WRITER, "guide")
        with pytest.raises(NotFound):
            await rollbacks.roll_back(WRITER, "guide")


async def test_a_row_of_the_ledger_that_is_written_late_takes_no_version_of_the_later_tenant() -> None:
    async with World() as world:
        await world.accept.put(WRITER, Draft("guide", 5, filename="a.txt", principals=STAFF), b"old")
        (old,) = await world.stores.ledger.newest(DocumentKey(TENANT, "guide"))
        await use_the_name_again(world)
        await world.stores.ledger.accept(old)
        receipt = await world.accept.put(WRITER, Draft("guide", 5, filename="a.txt", principals=STAFF), b"new")
        await world.stores.ledger.finish(old.event_id, ChangeState.SUPERSEDED, at=world.clock.now())
        assert receipt.event_id != old.event_id
        assert await world.look.changes(WRITER, [old.event_id]) == []
        (told,) = await world.look.changes(WRITER, [receipt.event_id])
        assert (told.key.tenant_id, told.state) == (AGAIN, ChangeState.PENDING)
        assert (await world.look.status(WRITER, 10)).change_counts == {ChangeState.PENDING: 1}


async def test_versions_and_documents_of_an_earlier_tenant_count_for_nothing_when_changes_are_accepted() -> None:
    async with World() as world:
        first = await world.accept.put(WRITER, Draft("guide", principals=STAFF), b"text")
        await use_the_name_again(world)
        with pytest.raises(NotFound):
            await world.accept.set_access(WRITER, "guide", 0, STAFF, 0)
        with pytest.raises(NotFound):  # a rollback or an expiry that was decided on before
            await world.accept.at_version(DocumentKey(TENANT, "guide"), 9, Delete())
        second = await world.accept.put(WRITER, Draft("guide", 1, principals=STAFF), b"text")
        assert (second.version, second.unchanged) == (1, False)
        assert second.event_id != first.event_id
        assert list(world.stores.objects.objects) == [
            f"documents/{AGAIN}/98/982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
        ]


async def test_a_deletion_that_stood_still_half_way_removes_nothing_of_a_later_tenant() -> None:
    async with World() as world:
        delete = world.stores.tenants.delete

        async def all_of_it_twice(tenant_id: str) -> None:
            """Another administrator deletes the tenant, creates it again, and stores a document."""
            await delete(tenant_id)
            world.stores.tenants.delete = delete  # type: ignore[method-assign]
            await use_the_name_again(world)
            await world.apply.apply(await of_the_later_tenant(world, "guide", 1, "new"))
            await delete(tenant_id)  # as if it were done late

        world.stores.tenants.delete = all_of_it_twice  # type: ignore[method-assign]
        await world.manage.delete(WRITER, TENANT)
        assert [tenant.tenant_id for tenant in await world.manage.list(WRITER)] == [AGAIN]
        assert await texts_served(world) == {"guide": "new"}


async def test_a_deletion_that_failed_half_way_is_finished_by_the_next_one() -> None:
    async with World() as world:
        await use_the_name_again(world)
        await world.apply.apply(await of_the_later_tenant(world, "guide", 1, "text"))
        drop, world.stores.heads.drop_tenant = world.stores.heads.drop_tenant, _fails  # type: ignore[method-assign]
        with pytest.raises(DependencyUnavailable):
            await world.manage.delete(WRITER, TENANT)
        world.stores.heads.drop_tenant = drop  # type: ignore[method-assign]
        await world.manage.delete(WRITER, TENANT)
        assert await world.stores.heads.list(AGAIN, include_deleted=True) == []
        assert await world.manage.list(WRITER) == []


async def _fails(tenant_id: str) -> None:
    raise DependencyUnavailable("down")


async def test_operators_name_a_tenant_by_its_name_and_are_told_it() -> None:
    async with World() as world:
        operated = Operated(world)
        old = await operated.put("bad", "BAD")
        await operated.work()
        (kept,) = await operated.all()
        await world.manage.delete(WRITER, TENANT)
        await world.manage.create(WRITER, TENANT, {})
        new = await operated.put("bad", "BAD")
        await operated.work()
        found = await operated.decide.list(WRITER, LetterFilter(tenant_id=TENANT), None, 10)
        assert [each.letter_id for each in found] == [new]
        assert (found[0].tenant_id, letter_message(found[0]).tenant_id) == (AGAIN, TENANT)
        ((replayed,), more) = await operated.decide.replay(WRITER, [old])
        assert (replayed.letter_id, replayed.outcome, more) == (kept.letter_id, LetterOutcome.REFUSED, False)
        assert tenant_message((await world.manage.list(WRITER))[0]).tenant_id == TENANT


async def test_what_is_no_name_is_nobodys() -> None:
    async with World() as world:
        await use_the_name_again(world)
        await world.apply.apply(await of_the_later_tenant(world, "guide", 1, "new"))
        guest = replace(WRITER, tenant_id=AGAIN)
        with pytest.raises(InvalidRequest):
            await world.look.get(guest, "guide")
        with pytest.raises(NotFound):
            await world.accept.delete(guest, "guide", 0)
        assert (await world.look.get(READER, "guide")).head is not None


def test_an_event_from_before_ids_were_unique_is_told_by_its_time() -> None:
    event = DocumentChange("e", DocumentKey(TENANT, "guide"), 1, START, Delete())
    assert belongs_to(event, Tenant(TENANT, {}, START))
    assert not belongs_to(event, Tenant(TENANT, {}, START + timedelta(microseconds=1)))
    assert not belongs_to(event, None)
