"""A head that readers may hold is announced before it is replaced, and every announcement ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.ingest.world import START, TENANT, WRITER, Around, Stores, World, straight

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, DocumentRejected, HeadwaterError
from chassis.eventlog.memory import MemoryEventLog
from chassis.eventlog.port import Partition, Position, Producer, Record
from corpus.domain import MAX_VERSION, Announcement, CalledOff, ChangeState, DocumentKey, HeadState, PublishedHead
from corpus.feed import HEADS_TOPIC, decode_announcement, decode_head, encode_announcement
from ingest.adapters.event_log import EventLogHeadFeed
from ingest.codec import CHANGES_TOPIC, encode_change, key_bytes
from ingest.domain import Change, Delete, DocumentChange, SetAccess
from ingest.handle import RecordInWork

GUIDE = DocumentKey(TENANT, "guide")
READERS = ("group:a", "group:b")
Said = Announcement | CalledOff | PublishedHead | None


class NotingLog(MemoryEventLog):
    """Remembers every record of the feed; a compacted topic does not."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Said] = []

    def producer(self) -> Producer:
        return _NotingProducer(super().producer(), self.told)


@dataclass
class _NotingProducer:
    inner: Producer
    told: list[Said]

    async def append(
        self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Position:
        if topic == HEADS_TOPIC:
            self.told.append(None if value is None else decode_announcement(value) or decode_head(value))
        return await self.inner.append(topic, key, value, headers)

    async def close(self) -> None:
        await self.inner.close()


@asynccontextmanager
async def opened(around: Around = straight) -> AsyncIterator[World]:
    clock = ManualClock(START)
    stores = Stores(clock)
    stores.log = NotingLog()
    async with World(around, stores, clock=clock) as world:
        yield world
    await stores.log.close()


def told(world: World) -> list[Said]:
    """What the feed was told, in order: there is one document."""
    assert isinstance(world.stores.log, NotingLog)
    return world.stores.log.told


def kinds(said: list[Said]) -> list[object]:
    """A head is its version, an announcement ">version", the end of one "off"."""
    short: list[object] = []
    for each in said:
        match each:
            case PublishedHead(version=version):
                short.append(version)
            case Announcement(version=version):
                short.append(f">{version}")
            case CalledOff():
                short.append("off")
            case None:
                short.append(None)
    return short


class Fault:
    """Fails the calls of one name from the moment on when it is armed."""

    def __init__(self, name: str, passes: int = 0) -> None:
        self.name, self.passes, self.armed = name, passes, False

    async def __call__(self, name: str, call: Any) -> Any:
        if self.armed and name == self.name:
            if not self.passes:
                raise DependencyUnavailable("away")
            self.passes -= 1
        return await call()


def _work(event: DocumentChange) -> RecordInWork:
    return RecordInWork(Record(Partition(CHANGES_TOPIC, 0), 0, key_bytes(event.key), encode_change(event)))


# -- what is announced --------------------------------------------------------------------------------------------


async def test_a_first_version_is_not_announced() -> None:
    async with opened() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        assert kinds(told(world)) == [5]


@pytest.mark.parametrize(
    "change",
    [Delete(), SetAccess(("group:a",), 0), SetAccess(("group:b", "group:c"), 0), SetAccess(READERS, 3)],
    ids=["delete", "revoke", "give and take", "clearance"],
)
async def test_a_change_of_a_live_document_is_announced_before_anything_of_it_is_written(change: Change) -> None:
    names: list[str] = []

    async def note(name: str, call: Any) -> Any:
        names.append(name)
        return await call()

    async with opened(note) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", READERS))
        names.clear()
        await world.apply.apply(world.event("guide", 6, change))
        wrote = [name for name in names if name.startswith(("log.append", "heads.put", "vectors.", "chunks.put"))]
        assert wrote[0] == "log.append"
        said = told(world)
        assert kinds(said)[:2] == [5, ">6"]
        assert kinds(said)[-1] == 6
        assert kinds(said).count(">6") == 1


async def test_a_new_content_is_announced_just_before_its_head() -> None:
    names: list[str] = []

    async def note(name: str, call: Any) -> Any:
        names.append(name)
        return await call()

    async with opened(note) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        names.clear()
        await world.apply.apply(await world.upsert("guide", 6, "other text"))
        assert names.index("log.append") == names.index("heads.put") - 1
        assert kinds(told(world)) == [5, ">6", 6]


async def test_what_changes_nothing_for_readers_is_not_announced() -> None:
    async with opened() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await world.apply.apply(await world.upsert("guide", 6, "text"))
        await world.apply.apply(world.event("guide", 7, Delete()))
        await world.apply.apply(world.event("guide", 8, Delete()))
        await world.apply.apply(await world.upsert("guide", 9, "text"))
        assert kinds(told(world)) == [5, 6, ">7", 7, 8, 9]


async def test_an_expiry_is_something_to_readers() -> None:
    async with opened() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await world.apply.apply(await world.upsert("guide", 6, "text", expires_at=START + timedelta(days=1)))
        assert kinds(told(world)) == [5, ">6", 6]


async def test_without_replicas_nothing_is_announced() -> None:
    async with opened() as world:
        feed = EventLogHeadFeed(world.stores.log.producer(), world.clock, has_replicas=False)
        await feed.announce(Announcement(GUIDE, "a", 6))
        await feed.call_off(CalledOff(GUIDE, "a"))
        assert told(world) == []


@pytest.mark.parametrize("said", [Announcement(GUIDE, "id", MAX_VERSION + 1), CalledOff(GUIDE, "id")])
def test_what_is_said_is_read_as_it_was_said(said: Announcement | CalledOff) -> None:
    assert decode_announcement(encode_announcement(said)) == said


# -- faults -------------------------------------------------------------------------------------------------------


async def test_what_can_not_be_announced_is_not_written() -> None:
    fault = Fault("log.append")
    async with opened(fault) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", READERS))
        fault.armed = True
        for change in (Delete(), SetAccess(("group:b", "group:c"), 0)):
            with pytest.raises(DependencyUnavailable):
                await world.apply.apply(world.event("guide", 6, change))
            head = await world.head("guide")
            assert head is not None
            assert head.version == 5
            assert head.principals == READERS


async def test_a_worker_that_dies_between_head_and_record_has_announced_it() -> None:
    fault = Fault("log.append", passes=1)
    async with opened(fault) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        gone, fault.armed = world.event("guide", 6, Delete()), True
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(gone)
        head = await world.head("guide")
        assert head is not None
        assert head.state is HeadState.DELETED
        assert told(world)[1:] == [Announcement(GUIDE, gone.event_id, 6)]
        fault.armed = False
        assert (await world.apply.apply(gone)).state is ChangeState.APPLIED
        assert kinds(told(world)) == [5, ">6", 6]


# -- ends ---------------------------------------------------------------------------------------------------------


async def test_readers_taken_early_are_announced_until_they_are_taken_and_no_longer() -> None:
    async with opened() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", READERS))
        early = world.event("guide", 9, SetAccess((), 0))
        await world.apply.take_readers(early)
        said = told(world)
        assert kinds(said) == [5, ">6", 5, "off"]
        announced, ended = said[1], said[3]
        assert isinstance(announced, Announcement)
        assert ended == CalledOff(GUIDE, announced.announcement_id)
        # Its own turn comes later, and is another matter.
        await world.apply.apply(await world.upsert("guide", 7, "other text", ()))
        await world.apply.apply(early)
        assert kinds(told(world))[4:] == [">7", 7, 9]


async def test_a_change_that_becomes_a_dead_letter_after_it_was_announced_is_called_off() -> None:
    fault = Fault("heads.put")
    async with opened(fault) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        event = await world.upsert("guide", 6, "other text")
        fault.armed = True
        work = _work(event)
        with pytest.raises(DependencyUnavailable):
            await world.handler.attempt(work)
        assert kinds(told(world)) == [5, ">6"]
        world.stores.objects.objects.clear()
        await world.handler.attempt(_work(event))  # by another worker, who finds the bytes gone
        assert told(world)[2:] == [CalledOff(GUIDE, event.event_id)]
        assert [letter.reason for letter in await world.dead_letters()] == ["CONTENT_MISSING"]


async def test_a_change_that_can_not_be_called_off_is_no_dead_letter_yet() -> None:
    fault = Fault("log.append")
    async with opened(fault) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        work, fault.armed = _work(await world.upsert("guide", 6, "BAD")), True
        with pytest.raises(HeadwaterError) as raised:
            await world.handler.attempt(work)
        assert not isinstance(raised.value, DocumentRejected)
        fault.armed = False
        await world.handler.attempt(work)
        assert len(await world.dead_letters()) == 1


async def test_a_bad_first_version_is_nothing_to_call_off() -> None:
    async with opened() as world:
        await world.handler.attempt(_work(await world.upsert("guide", 5, "BAD")))
        assert len(await world.dead_letters()) == 1
        assert told(world) == []


async def test_a_change_that_is_superseded_after_it_was_announced_needs_no_end_but_the_newer_head() -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    async def hold(name: str, call: Any) -> Any:
        if name == "heads.put" and await world.head("guide") is not None and not reached.is_set():
            reached.set()
            await gate.wait()
        return await call()

    async with opened(hold) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        sleeper = asyncio.create_task(world.apply.apply(world.event("guide", 6, SetAccess((), 0))))
        await reached.wait()
        await world.apply.apply(world.event("guide", 7, Delete()))
        gate.set()
        assert (await sleeper).state is ChangeState.SUPERSEDED
        assert kinds(told(world)) == [5, ">6", ">7", 7]


@pytest.mark.parametrize("recreate", [False, True])
async def test_a_change_whose_tenant_went_after_it_was_announced_leaves_no_announcement(recreate: bool) -> None:
    fault = Fault("heads.put")
    async with opened(fault) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        gone = world.event("guide", 6, Delete())
        fault.armed = True
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(gone)
        fault.armed = False
        world.clock.advance(1)
        await world.manage.delete(WRITER, TENANT)
        # A worker that stood still tells of it only now.
        await world.apply.feed.announce(Announcement(GUIDE, gone.event_id, 6))
        if recreate:
            world.clock.advance(1)
            later = await world.manage.create(WRITER, TENANT, {})
            upsert = await world.upsert("guide", 1, "text")
            await world.apply.apply(replace(upsert, key=DocumentKey(later.tenant_id, "guide")))
        assert (await world.apply.apply(gone)).reason == "UNKNOWN_TENANT"
        assert told(world)[-1] is None
        feed = world.stores.log.reader(HEADS_TOPIC)
        await feed.start()
        last = {record.key: record.value for record in await feed.poll(1000, 0.0)}
        await feed.stop()
        assert last[b"acme/guide"] is None
        assert recreate == (last.get(b"acme_1/guide") is not None)  # of the later tenant nothing is forgotten


async def test_a_worker_that_died_after_it_had_purged_leaves_word_of_it_to_the_next() -> None:
    fault = Fault("log.append", passes=1)
    deleted = False

    async def delete_before_commit(name: str, call: Any) -> Any:
        nonlocal deleted
        if name == "heads.put" and not deleted:
            deleted = True
            world.clock.advance(1)
            await world.manage.delete(WRITER, TENANT)
            fault.armed = True
        return await fault(name, call)

    async with opened(delete_before_commit) as world:
        event = await world.upsert("guide", 5, "text")
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(event)
        assert await world.head("guide") is None
        assert kinds(told(world))[-1] == ">6"
        fault.armed = False
        assert (await world.apply.apply(event)).reason == "UNKNOWN_TENANT"
        assert kinds(told(world))[-1] is None
