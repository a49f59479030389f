"""Versions that the service assigns: above all that came before, and below what a source will say next."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.sources_world import content
from tests.unit.ingest.test_source_records import taken, taking
from tests.unit.ingest.world import STAFF, START, TENANT, WRITER, World

from chassis.clock import HybridLogicalClock, ManualClock, to_micros
from corpus.domain import ChangeState, DocumentKey, HeadState
from ingest.accept import AcceptChanges
from ingest.codec import CHANGES_TOPIC, decode_change
from ingest.domain import Draft
from ingest.sources.model import SourceRecord

KEY = DocumentKey(TENANT, "guide")


def draft(version: int = 0) -> Draft:
    return Draft("guide", version, filename="guide.txt", principals=STAFF)


def event(sequence: int, kind: str = "published") -> SourceRecord:
    said = {**content("cloudevents-structured"), "sequence": str(sequence), "type": f"com.example.page.{kind}"}
    return SourceRecord(b"", json.dumps(said).encode())


def beside(world: World, seconds: float) -> AcceptChanges:
    """Another API process, whose clock is off by so much."""
    clock = ManualClock(START + timedelta(seconds=seconds))
    return replace(world.accept, clock=clock, versions=HybridLogicalClock(clock))


async def test_after_a_change_by_hand_the_changes_of_a_source_still_count() -> None:
    async with World() as world, taking(world) as made:
        await made.send(event(17))
        await taken(world)
        by_hand = await world.accept.set_access(WRITER, "wiki/pages/42", 0, ("group:other",), 0)
        await taken(world)
        head = await world.head("wiki/pages/42")
        assert head is not None
        assert (by_hand.version, head.version, head.principals) == (18, 18, ("group:other",))
        await made.send(event(19, "deleted"))
        await taken(world)
        head = await world.head("wiki/pages/42")
        assert head is not None
        assert (head.state, head.version) == (HeadState.DELETED, 19)
        assert not await world.dead_letters()


async def test_the_number_that_a_change_by_hand_took_from_a_source_is_told_of() -> None:
    async with World() as world, taking(world) as made:
        await made.send(event(17))
        await taken(world)
        await world.accept.delete(WRITER, "wiki/pages/42", 0)
        await made.send(event(18))
        await taken(world)
        (letter,) = await world.dead_letters()
        assert letter.reason == "VERSION_CONFLICT"


@pytest.mark.parametrize("first", [1, 17, 2**40, to_micros(START) - 5, to_micros(START) + 10**9, 2**60])
async def test_assigned_versions_grow_over_processes_whose_clocks_differ(first: int) -> None:
    async with World() as world:
        processes = [beside(world, seconds) for seconds in (0, -3600, 3600)]
        versions = [(await world.accept.put(WRITER, draft(first), b"text")).version]
        for number in range(12):
            process = processes[number % 3]
            versions.append((await process.put(WRITER, draft(), b"text %d" % number)).version)
        assert versions == sorted(set(versions))


@pytest.mark.parametrize("first", [17, 2**60])
async def test_changes_at_the_same_time_in_two_processes_get_versions_of_their_own(first: int) -> None:
    async with World() as world:
        await world.accept.put(WRITER, draft(first), b"text")
        processes = [beside(world, seconds) for seconds in (0, 3600)]
        receipts = await asyncio.gather(
            *(processes[number % 2].put(WRITER, draft(), b"text %d" % number) for number in range(10))
        )
        assert sorted(receipt.version for receipt in receipts) == list(range(first + 1, first + 11))


@pytest.mark.parametrize("first", [0, 17])
async def test_an_assigned_version_is_above_a_delete_that_was_forgotten(first: int) -> None:
    async with World() as world:
        await world.accept.put(WRITER, draft(first), b"text")
        deleted = await world.accept.delete(WRITER, "guide", 0)
        for record in await world.stores.ledger.newest(KEY):
            await world.stores.ledger.finish(record.event_id, ChangeState.APPLIED, at=world.clock.now())
        world.clock.advance(3600)
        await world.stores.ledger.age_out(TENANT, world.clock.now())
        assert [record.version for record in await world.stores.ledger.newest(KEY)] == [deleted.version]
        assert await world.stores.heads.get(KEY) is None
        again = await beside(world, -7200).put(WRITER, draft(), b"text")
        assert again.version > deleted.version


async def test_versions_that_tell_time_go_on_telling_it() -> None:
    async with World() as world:
        await world.accept.put(WRITER, draft(), b"one")
        world.clock.advance(60)
        second = await world.accept.put(WRITER, draft(), b"two")
        assert second.version == to_micros(world.clock.now())


async def test_of_two_events_with_one_assigned_version_the_one_in_the_ledger_is_the_change() -> None:
    """A process dies between its append and the ledger; another one takes the number that nobody knows of."""
    died = False

    async def die_once(name, call):
        nonlocal died
        if name == "ledger.accept" and not died:
            died = True
            raise asyncio.CancelledError
        return await call()

    async with World() as quiet:
        await quiet.accept.put(WRITER, draft(17), b"zero")
        async with World(die_once, quiet.stores, clock=quiet.clock) as world, taking(world):
            with pytest.raises(asyncio.CancelledError):
                await world.accept.put(WRITER, draft(), b"lost caller")
            receipt = await quiet.accept.put(WRITER, draft(), b"told caller")
            await taken(world)
            versions = [decode_change(value).version for value in await world.values(CHANGES_TOPIC)]
            assert versions == sorted(versions)
            head = await world.head("guide")
            assert head is not None
            assert head.version == receipt.version
            assert await world.text("guide") == "told caller"
