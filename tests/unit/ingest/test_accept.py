"""Accepting changes: idempotent by version or content, and never a receipt for what could get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.unit.ingest.world import READER, STAFF, START, TENANT, WRITER, World

from chassis.errors import Conflict, DependencyUnavailable, InvalidRequest, NotFound, PermissionDenied
from corpus.domain import MAX_VERSION, ChangeState
from ingest.codec import CHANGES_TOPIC, decode_change
from ingest.domain import Draft, Upsert


def draft(version: int = 0, **description: object) -> Draft:
    return replace(Draft("guide", version, filename="guide.txt", principals=STAFF), **description)


async def appended(world: World) -> list[int]:
    return [decode_change(value).version for value in await world.values(CHANGES_TOPIC)]


async def finish(world: World, event_id: str, state: ChangeState) -> None:
    await world.stores.ledger.finish(event_id, state, at=world.clock.now())


async def test_a_put_stores_the_bytes_then_appends_the_event_then_writes_the_ledger() -> None:
    names: list[str] = []

    async def note(name, call):
        names.append(name)
        return await call()

    async with World(note) as world:
        receipt = await world.accept.put(WRITER, draft(), b"text")
        assert [name for name in names if name in ("objects.put", "log.append", "ledger.accept")] == [
            "objects.put",
            "log.append",
            "ledger.accept",
        ]
        record = await world.record(receipt.event_id)
        assert record is not None
        assert record.state is ChangeState.PENDING
        assert record.version == receipt.version
        (value,) = await world.values(CHANGES_TOPIC)
        event = decode_change(value)
        assert isinstance(event.change, Upsert)
        assert await world.stores.objects.get(event.change.content.object_key) == b"text"


async def test_the_same_version_with_the_same_content_is_the_same_change() -> None:
    async with World() as world:
        first = await world.accept.put(WRITER, draft(7), b"text")
        again = await world.accept.put(WRITER, draft(7), b"text")
        assert again == first
        assert not again.unchanged
        await finish(world, first.event_id, ChangeState.APPLIED)
        assert (await world.accept.put(WRITER, draft(7), b"text")) == replace(first, unchanged=True)
        assert await appended(world) == [7]


@pytest.mark.parametrize("other", [{"title": "Other"}, {"principals": ("public",)}, {"security_level": 2}])
async def test_the_same_version_with_another_description_is_a_conflict(other: dict[str, object]) -> None:
    async with World() as world:
        await world.accept.put(WRITER, draft(7), b"text")
        with pytest.raises(Conflict) as raised:
            await world.accept.put(WRITER, draft(7, **other), b"text")
        assert raised.value.reason == "VERSION_CONFLICT"
        assert await appended(world) == [7]


async def test_the_same_version_with_other_content_is_a_conflict_also_when_newer_ones_are_there() -> None:
    async with World() as world:
        for version in (7, 8, 9):
            await world.accept.put(WRITER, draft(version), b"text %d" % version)
        with pytest.raises(Conflict):
            await world.accept.put(WRITER, draft(7), b"other")
        with pytest.raises(Conflict):
            await world.accept.delete(WRITER, "guide", 8)
        assert await appended(world) == [7, 8, 9]


async def test_two_changes_with_one_version_at_the_same_time_give_one_receipt_and_one_conflict() -> None:
    async with World() as world:
        results = await asyncio.gather(
            *(world.accept.put(WRITER, draft(7), text) for text in (b"one", b"two")), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["Conflict", "Receipt"]


async def test_without_a_version_nothing_is_appended_while_nothing_changes() -> None:
    async with World() as world:
        first = await world.accept.put(WRITER, draft(), b"text")
        await finish(world, first.event_id, ChangeState.APPLIED)
        assert (await world.accept.put(WRITER, draft(), b"text")).unchanged
        changed = await world.accept.put(WRITER, draft(), b"text, edited")
        assert not changed.unchanged
        assert changed.version > first.version
        assert len(await appended(world)) == 2


async def test_content_that_comes_back_after_another_version_is_a_change() -> None:
    async with World() as world:
        for text in (b"one", b"two", b"one"):
            receipt = await world.accept.put(WRITER, draft(), text)
            await finish(world, receipt.event_id, ChangeState.APPLIED)
        assert len(await appended(world)) == 3


async def test_the_same_content_after_a_delete_or_an_access_change_is_a_change() -> None:
    async with World() as world:
        await world.accept.put(WRITER, draft(), b"text")
        await world.accept.set_access(WRITER, "guide", 0, ("public",), 0)
        assert not (await world.accept.put(WRITER, draft(), b"text")).unchanged
        await world.accept.delete(WRITER, "guide", 0)
        assert not (await world.accept.put(WRITER, draft(), b"text")).unchanged
        assert len(await appended(world)) == 5


@pytest.mark.parametrize("end", [ChangeState.DEAD_LETTERED, ChangeState.SUPERSEDED, ChangeState.DUPLICATE])
async def test_the_same_content_is_accepted_again_after_it_ended_badly(end: ChangeState) -> None:
    async with World() as world:
        first = await world.accept.put(WRITER, draft(), b"text")
        await finish(world, first.event_id, end)
        second = await world.accept.put(WRITER, draft(), b"text")
        assert second.version > first.version
        assert not second.unchanged
        assert len(await appended(world)) == 2


async def test_an_assigned_version_is_greater_than_any_that_the_source_used() -> None:
    async with World() as world:
        await world.accept.put(WRITER, draft(2**60), b"one")
        assert (await world.accept.put(WRITER, draft(), b"two")).version == 2**60 + 1


async def test_changes_without_a_version_at_the_same_time_get_versions_of_their_own() -> None:
    async with World() as world:
        await world.accept.put(WRITER, draft(2**60), b"zero")
        receipts = await asyncio.gather(*(world.accept.put(WRITER, draft(), b"text %d" % n) for n in range(8)))
        assert len({receipt.version for receipt in receipts}) == 8


async def test_after_an_append_with_unknown_outcome_the_repeated_put_is_accepted_once() -> None:
    broken = {"log.append"}

    async def fail_after(name, call):
        result = await call()
        if name in broken:
            broken.discard(name)
            raise DependencyUnavailable("The log is away.")
        return result

    async with World(fail_after) as world:
        with pytest.raises(DependencyUnavailable):
            await world.accept.put(WRITER, draft(7), b"text")
        receipt = await world.accept.put(WRITER, draft(7), b"text")
        assert await appended(world) == [7, 7]  # the log may hold it twice: the worker recognises it
        assert await world.record(receipt.event_id) is not None


async def test_a_lost_append_gives_no_receipt_and_leaves_no_ledger_row() -> None:
    async def fail_before(name, call):
        if name == "log.append":
            raise DependencyUnavailable("The log is away.")
        return await call()

    async with World(fail_before) as world:
        with pytest.raises(DependencyUnavailable):
            await world.accept.put(WRITER, draft(), b"text")
        assert await world.stores.ledger.counts(TENANT) == {}
        assert await appended(world) == []


async def test_without_a_ledger_row_there_is_no_receipt_but_the_event_is_not_lost() -> None:
    async def fail_before(name, call):
        if name == "ledger.accept":
            raise DependencyUnavailable("The ledger is away.")
        return await call()

    async with World(fail_before) as world:
        with pytest.raises(DependencyUnavailable):
            await world.accept.put(WRITER, draft(7), b"text")
        assert await appended(world) == [7]


async def test_an_unknown_tenant_is_told_so_before_anything_is_stored() -> None:
    stranger = replace(WRITER, tenant_id="nobody")
    async with World() as world:
        for call in (
            world.accept.put(stranger, draft(), b"text"),
            world.accept.delete(stranger, "guide", 0),
            world.accept.set_access(stranger, "guide", 0, (), 0),
        ):
            with pytest.raises(NotFound) as raised:
                await call
            assert raised.value.reason == "UNKNOWN_TENANT"
        assert world.stores.objects.objects == {}


async def test_changes_need_the_write_scope() -> None:
    async with World() as world:
        for call in (
            world.accept.put(READER, draft(), b"text"),
            world.accept.delete(READER, "guide", 0),
            world.accept.set_access(READER, "guide", 0, (), 0),
        ):
            with pytest.raises(PermissionDenied):
                await call


async def test_readers_of_a_document_that_was_never_put_cannot_be_set() -> None:
    async with World() as world:
        with pytest.raises(NotFound) as raised:
            await world.accept.set_access(WRITER, "guide", 0, STAFF, 0)
        assert raised.value.reason == "UNKNOWN_DOCUMENT"


@pytest.mark.parametrize("version", [-1, MAX_VERSION + 1, 2**64 - 1])
async def test_a_version_outside_the_range_is_refused_before_anything_is_stored(version: int) -> None:
    async with World() as world:
        with pytest.raises(InvalidRequest) as raised:
            await world.accept.put(WRITER, draft(version), b"text")
        assert raised.value.reason == "BAD_VERSION"
        assert world.stores.objects.objects == {}


async def test_a_document_over_the_limit_is_refused_without_being_read_to_its_end() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b"x" * 100

    async with World() as world:
        for content in (b"x" * 1001, endless()):
            with pytest.raises(InvalidRequest) as raised:
                await world.accept.put(WRITER, draft(), content)
            assert raised.value.reason == "DOCUMENT_TOO_LARGE"
        assert sent == 1100
        assert world.stores.objects.objects == {}
        assert await appended(world) == []


async def test_an_upload_in_parts_is_the_same_document_as_one_in_a_piece() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"te"
        yield b"xt"

    async with World() as world:
        first = await world.accept.put(WRITER, draft(7), b"text")
        again = await world.accept.put(WRITER, draft(7), parts())
        assert again.event_id == first.event_id
        assert len(world.stores.objects.objects) == 1


async def test_a_change_is_never_accepted_before_its_tenant_was_created() -> None:
    async with World() as world:
        world.clock.step(-60)  # this process's clock is behind the one that created the tenant
        receipt = await world.accept.put(WRITER, draft(), b"text")
        record = await world.record(receipt.event_id)
        assert record is not None
        assert record.accepted_at == START
