"""The replica of the heads: as current as it says, never wider than the authority, closed when it can't know."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.corpus_samples import head, key
from tests.unit.corpus.feed_world import STALENESS_SECONDS, ReplicaWorld, bury, eventually, until

from chassis.errors import DependencyUnavailable
from corpus.domain import AccessPolicy
from corpus.feed import HEADS_TOPIC, record_key


async def test_what_the_feed_named_is_answered_from_memory() -> None:
    world = ReplicaWorld()
    async with world.following():
        for n in range(60):
            await world.write(f"doc-{n}", n + 1, "a")
        await world.settled()
        world.authority.down = True
        found = await world.replica.get_many("acme", [f"doc-{n}" for n in range(60)])
    assert {name: served.version for name, served in found.items()} == {f"doc-{n}": n + 1 for n in range(60)}


async def test_a_replica_that_starts_later_knows_what_was_written_before() -> None:
    world = ReplicaWorld()
    await world.log.ensure_topic(HEADS_TOPIC, 3, compacted=True)
    await world.write("old", 1, "a")
    async with world.following():
        assert await world.known("old")


async def test_everything_a_reader_decides_by_is_there() -> None:
    world = ReplicaWorld()
    async with world.following():
        written = head(version=7, chunks_version=5)
        await world.authority.heads.put(written)
        await world.publish(written)
        await world.settled()
        world.authority.down = True
        served = await world.replica.get(written.key)
        assert served is not None
        for name in ("key", "version", "chunks_version", "state", "access", "generation", "expires_at"):
            assert getattr(served, name) == getattr(written, name)
        assert served.ingest_trace_id == written.ingest_trace_id


async def test_a_revocation_arrives_by_the_feed_alone() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        world.authority.down = True
        await world.write("doc", 2, "a")
        assert await eventually(world, "doc", (2, frozenset("a")))
        await world.publish(await bury(world, "doc", 3))
        assert await eventually(world, "doc", None)


async def test_a_document_that_nobody_named_is_asked_for_once() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.put("unpublished", 1, "a")
        for _ in range(2):
            assert await world.read("unpublished") == (1, frozenset("a"))
            assert await world.read("nothing") is None
        assert world.authority.asked == ["unpublished", "nothing"]


async def test_a_document_that_was_not_there_appears_when_it_is_written() -> None:
    world = ReplicaWorld()
    async with world.following():
        assert await world.read("doc") is None
        await world.write("doc", 1, "a")
        assert await eventually(world, "doc", (1, frozenset("a")))


# -- staleness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["down", "silent"])
async def test_without_word_from_the_feed_the_authority_is_asked(fault: str) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        setattr(world.feed, fault, True)
        await asyncio.sleep(0)
        await world.write("doc", 2, "a")
        world.clock.advance(STALENESS_SECONDS * 1.01)
        assert not world.replica.is_current()
        assert await world.read("doc") == (2, frozenset("a"))
        world.authority.down = True
        with pytest.raises(DependencyUnavailable):
            await world.read("doc")
        setattr(world.feed, fault, False)
        await until(world.replica.is_current)
        assert await world.read("doc") == (2, frozenset("a"))


async def test_before_the_feed_was_ever_read_the_authority_is_asked() -> None:
    world = ReplicaWorld()
    world.feed.down = True
    async with world.following():
        await world.put("doc", 1, "a")
        assert await world.read("doc") == (1, frozenset("a"))
        await world.put("doc", 2, "b")
        assert await world.read("doc") == (2, frozenset("b"))
        world.authority.down = True
        with pytest.raises(DependencyUnavailable):
            await world.read("doc")


async def test_an_unknown_document_is_no_missing_one_while_the_authority_is_down() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("known", 1, "a")
        await world.settled()
        world.authority.down = True
        with pytest.raises(DependencyUnavailable):
            await world.replica.get_many("acme", ["known", "unknown"])


async def test_who_was_away_for_long_begins_anew() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await world.settled()
        world.feed.down = True
        await asyncio.sleep(0)
        # Forgotten, and the news of it as well: a compacted topic keeps it for a day.
        await world.authority.heads.drop_tenant("acme")
        world.clock.advance(1000)
        world.feed.down = False
        await until(world.replica.is_current)
        assert await world.read("doc") is None


async def test_a_log_that_was_created_anew_is_read_anew() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await world.put("doc", 2, "a")  # its record was lost with the old log
        world.feed.truncated = True
        await until(lambda: world.feed.opened == 2 and world.replica.is_current())
        assert await world.read("doc") == (2, frozenset("a"))


# -- forgetting ---------------------------------------------------------------------------------------------------


async def test_a_purged_head_is_forgotten() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.publish(await bury(world, "doc", 3))
        await world.settled()
        await world.authority.heads.purge(key("doc"), 3)
        await world.producer.append(HEADS_TOPIC, record_key("acme", "doc"), None)
        await world.settled()
        assert await world.replica.get(key("doc")) is None
        await world.write("doc", 1, "a")
        assert await eventually(world, "doc", (1, frozenset("a")))


async def test_the_heads_of_a_dropped_tenant_are_forgotten_and_no_others() -> None:
    world = ReplicaWorld()
    async with world.following():
        for n in range(20):
            await world.write(f"doc-{n}", 9, "a")
        other = head("doc", tenant_id="other")
        await world.authority.heads.put(other)
        await world.publish(other)
        await world.settled()
        await world.authority.heads.drop_tenant("acme")
        await world.producer.append(HEADS_TOPIC, record_key("acme"), None)
        await world.settled()
        assert await world.replica.get_many("acme", [f"doc-{n}" for n in range(20)]) == {}
        await world.write("doc-1", 1, "a")  # a tenant of the same name, whose versions begin anew
        assert await eventually(world, "doc-1", (1, frozenset("a")))
        world.authority.down = True
        assert (await world.replica.get_many("other", ["doc"])).keys() == {"doc"}


@pytest.mark.parametrize("value", [b"\xff\xff", b"", b"\x0a\x04acme\x12\x05other\x18\x09\x28\x01"])
async def test_a_record_that_can_not_be_read_is_a_reason_to_ask(value: bytes) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await world.put("doc", 2, "a")
        await world.producer.append(HEADS_TOPIC, record_key("acme", "doc"), value)
        await world.producer.append(HEADS_TOPIC, b"\xff no key of ours", value)
        await world.settled()
        assert await world.read("doc") == (2, frozenset("a"))


# -- bounds -------------------------------------------------------------------------------------------------------


async def test_more_heads_than_there_is_room_for_are_all_answered() -> None:
    world = ReplicaWorld(max_heads=20)
    async with world.following():
        for n in range(100):
            await world.write(f"doc-{n}", n + 1, f"{n}")
        await world.settled()
        names = [f"doc-{n}" for n in range(100)]
        for _ in range(2):
            found = await world.replica.get_many("acme", names)
            assert {name: found[name].version for name in names} == {f"doc-{n}": n + 1 for n in range(100)}
        assert world.replica.size() <= 20


async def test_a_head_with_a_very_long_list_of_readers_is_asked_for_each_time() -> None:
    world = ReplicaWorld()
    async with world.following():
        crowd = head("doc", access=AccessPolicy(frozenset(map(str, range(5000)))))
        await world.authority.heads.put(crowd)
        await world.publish(crowd)
        await world.settled()
        assert not await world.known("doc")
        served = await world.replica.get(crowd.key)
        assert served is not None
        assert served.access == crowd.access
