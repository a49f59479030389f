"""What is on hold is known to every replica, whatever else the feed says at the same time."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.corpus_samples import NOW, key
from tests.unit.corpus.feed_world import ReplicaWorld

from corpus.domain import Announcement, Hold
from corpus.feed import (
    HEADS_TOPIC,
    decode_announcement,
    decode_hold,
    encode_hold,
    encode_hold_announcement,
    held_document,
    hold_key,
    read_record_key,
    record_key,
)


async def is_held(world: ReplicaWorld, document_id: str = "doc") -> bool:
    return (await world.replica.get_many("acme", [document_id]))[document_id].held


async def say(world: ReplicaWorld, version: int, held: bool) -> None:
    """Tells the authority."""
    await world.authority.heads.set_hold(Hold(key(), version, held, NOW))


async def announce(world: ReplicaWorld, version: int) -> None:
    """Tells the replica, and waits until it has read it."""
    said = encode_hold_announcement(Hold(key(), version, True, NOW), None)
    await world.producer.append(HEADS_TOPIC, hold_key(key()), said)
    await world.settled()


async def publish(world: ReplicaWorld, version: int, held: bool = True) -> None:
    await world.producer.append(HEADS_TOPIC, hold_key(key()), encode_hold(Hold(key(), version, held, NOW)))
    await world.settled()


@pytest.mark.parametrize("then", ["nothing", "a new version", "a new version that is late"])
async def test_a_hold_is_seen_from_its_announcement_on_and_stays(then: str) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await world.settled()
        assert await is_held(world) is False
        assert await world.known("doc")
        late = await world.put("doc", 2, "a") if then.endswith("late") else None
        await announce(world, 1)
        await say(world, 1, True)
        # A head of any version says nothing of the hold.
        if then == "a new version":
            await world.write("doc", 2, "a")
            await world.settled()
        assert await is_held(world)
        await publish(world, 1)
        assert await is_held(world)
        assert await world.known("doc")
        if late is not None:
            await world.publish(late)
            await world.settled()
        assert await is_held(world)
        await world.write("doc", 3, "a")
        assert await world.read("doc") is not None
        assert await is_held(world)
        await world.settled()
        assert await is_held(world)


async def test_a_holder_that_dies_after_the_write_leaves_questions_and_shows_nothing() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await world.settled()
        await announce(world, 1)
        await say(world, 1, True)
        for version in (2, 3):
            await world.write("doc", version, "a")
            await world.settled()
            assert await is_held(world)
            assert not await world.known("doc")


async def test_a_released_document_is_served_from_memory_again() -> None:
    world = ReplicaWorld()
    async with world.following():
        await say(world, 1, True)
        await world.write("doc", 1, "a")
        await world.settled()
        assert await is_held(world)
        await announce(world, 2)
        await say(world, 2, False)
        await publish(world, 2)
        assert await is_held(world) is False
        assert await world.known("doc")


async def test_an_answer_that_was_made_before_the_hold_is_not_kept() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.settled()
        await world.put("doc", 1, "a")
        world.authority.gate = asyncio.Event()
        asking = asyncio.create_task(world.replica.get_many("acme", ["doc"]))
        while "doc" not in world.authority.asked:
            await asyncio.sleep(0)
        for said in (announce(world, 1), publish(world, 1)):
            task = asyncio.create_task(said)
            await asyncio.sleep(0.02)
            await say(world, 1, True)
            world.authority.gate.set()
            await task
        await asking
        world.authority.gate = None
        assert await is_held(world)


async def test_a_hold_that_was_announced_and_never_written_is_over_with_the_next_one() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await announce(world, 1)
        await announce(world, 3)
        await say(world, 2, True)
        await publish(world, 2)
        assert not await world.known("doc")
        await say(world, 3, False)
        await publish(world, 3, held=False)
        assert await is_held(world) is False
        assert await world.known("doc")


async def test_what_a_record_says_of_a_hold_is_asked_and_not_believed() -> None:
    world = ReplicaWorld()
    async with world.following():
        await say(world, 2, True)
        await world.write("doc", 1, "a")
        await world.settled()
        await publish(world, 1, held=False)
        assert await is_held(world)
        await world.producer.append(HEADS_TOPIC, hold_key(key()), b"\xff nothing")
        await world.settled()
        assert await is_held(world)


def test_the_record_of_a_hold_has_a_key_of_its_own_and_its_announcement_repeats_what_was_said_before() -> None:
    hold = Hold(key("a/b"), 7, True, NOW, "Ann", "wrong")
    assert decode_hold(encode_hold(hold)) == hold
    name = read_record_key(hold_key(hold.key))
    assert name is not None
    assert held_document(name[1]) == "a/b"
    assert held_document("a/b") == ""
    assert hold_key(hold.key) != record_key("acme", "a/b")
    value = encode_hold_announcement(Hold(key("a/b"), 8, False, NOW), hold)
    assert decode_hold(value) == hold
    assert isinstance(decode_announcement(value), Announcement)
