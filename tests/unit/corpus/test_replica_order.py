"""Records and answers that come late, twice or in any order: the replica ends as the authority."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from tests.contract.corpus_samples import head, key
from tests.unit.corpus.feed_world import STALENESS_SECONDS, ReplicaWorld, bury, eventually, readable_by, until

from chassis.errors import DependencyUnavailable
from corpus.domain import AccessPolicy, Head
from corpus.feed import HEADS_TOPIC, record_key

WIDE = frozenset({"a", "b"})


async def test_a_late_record_of_an_older_version_changes_nothing() -> None:
    world = ReplicaWorld()
    async with world.following():
        late = await world.put("doc", 5, "a", "b")
        await world.write("doc", 6, "a")
        await world.settled()
        await world.publish(late)
        await world.settled()
        world.authority.down = True
        assert await world.read("doc") == (6, frozenset("a"))


async def test_a_late_record_of_an_older_version_is_not_believed_while_the_authority_is_down() -> None:
    world = ReplicaWorld()
    async with world.following():
        late = await world.put("doc", 5, "a", "b")
        await world.write("doc", 6, "a")
        await world.settled()
        world.authority.down = True
        await world.publish(late)
        world.clock.advance(STALENESS_SECONDS * 2)
        await until(world.replica.is_current)  # it has the whole feed, the late record too
        assert await world.read("doc") == (6, frozenset("a"))


async def test_a_feed_whose_last_record_is_a_late_one_misleads_no_new_replica() -> None:
    world = ReplicaWorld()
    await world.log.ensure_topic(HEADS_TOPIC, 3, compacted=True)
    late = await world.put("doc", 5, "a", "b")
    await world.write("doc", 6, "a")
    await world.publish(late)  # compaction leaves nothing else
    async with world.following():
        assert await world.read("doc") == (6, frozenset("a"))


async def test_a_late_record_of_a_document_that_is_gone_brings_it_back_for_nobody() -> None:
    world = ReplicaWorld()
    async with world.following():
        assert await world.read("doc") is None
        await world.publish(head("doc", 5, access=readable_by("a")))
        await world.settled()
        assert await world.read("doc") is None


async def test_two_contents_of_one_version_are_for_the_authority_to_tell_apart() -> None:
    world = ReplicaWorld()
    async with world.following():
        wide = await world.write("doc", 5, "a", "b")
        await world.settled()
        await world.write("doc", 5, "a")  # what is taken at once
        await world.settled()
        assert await world.read("doc") == (5, frozenset("a"))
        await world.publish(wide)
        await world.settled()
        world.authority.down = True
        assert await world.read("doc") == (5, frozenset("a"))


async def test_a_document_with_two_contents_of_one_version_is_closed_while_the_authority_is_down() -> None:
    world = ReplicaWorld()
    async with world.following():
        narrow = await world.write("doc", 5, "a")
        await world.settled()
        world.authority.down = True
        await world.publish(replace(narrow, access=AccessPolicy(WIDE)))
        with pytest.raises(DependencyUnavailable):
            await eventually(world, "doc", (5, WIDE))


async def test_a_greater_version_that_the_authority_does_not_know_is_corrected() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await world.settled()
        # A late record of a tenant of the same name that was dropped.
        await world.publish(head("doc", 9, access=readable_by("a", "b")))
        await world.settled()
        assert await world.read("doc") == (1, frozenset("a"))


@pytest.mark.parametrize("what", ["version", "same version", "forgotten", "tenant", "log"])
async def test_an_answer_that_the_feed_overtakes_is_not_kept(what: str) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.put("doc", 5, "a", "b")
        world.authority.gate = asyncio.Event()
        asking = asyncio.create_task(world.read("doc"))
        await until(lambda: world.authority.asked == ["doc"])
        match what:
            case "version":
                await world.write("doc", 6, "a")
            case "same version":
                await world.write("doc", 5, "a")
            case "forgotten":
                await world.authority.heads.drop_tenant("acme")
                await world.producer.append(HEADS_TOPIC, record_key("acme", "doc"), None)
            case "tenant":
                await world.authority.heads.drop_tenant("acme")
                await world.producer.append(HEADS_TOPIC, record_key("acme"), None)
            case "log":
                await world.put("doc", 6, "a")
                world.feed.truncated = True
                await until(lambda: world.feed.opened == 2)
        world.clock.advance(STALENESS_SECONDS * 2)
        await until(world.replica.is_current)
        world.authority.gate.set()
        await asking
        world.authority.gate = None
        gone = what in ("forgotten", "tenant")
        assert await world.read("doc") == (None if gone else (5 if what == "same version" else 6, frozenset("a")))


# -- everything at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_happened_the_replica_ends_as_the_authority(seed: int) -> None:
    """Writers that are late, repeat themselves or die before they publish what another one then publishes; faults of
    log and authority; answers that take their time."""
    world, chance = ReplicaWorld(max_heads=chance_of(seed)), random.Random(seed)
    names = [f"doc-{n}" for n in range(8)]
    unpublished: list[Head] = []
    async with world.following():
        for _ in range(120):
            await _one_step(world, chance, names, unpublished)
        world.feed.down = world.feed.silent = world.authority.down = False
        if world.authority.gate is not None:
            world.authority.gate.set()
            world.authority.gate = None
        for late in unpublished:
            await world.publish(late)
        await world.settled()
        wanted = {name: await world.authority.heads.get(key(name)) for name in names}
        found = await world.replica.get_many("acme", names)
        assert {name: served.version for name, served in found.items()} == {
            name: each.version for name, each in wanted.items() if each is not None
        }
        assert all(served.access == wanted[name].access for name, served in found.items())  # type: ignore[union-attr]


def chance_of(seed: int) -> int:
    return 5 if seed % 3 == 0 else 1000


async def _one_step(world: ReplicaWorld, chance: random.Random, names: list[str], unpublished: list[Head]) -> None:
    name = chance.choice(names)
    known = await world.authority.heads.get(key(name))
    version = 1 if known is None else known.version
    match chance.randrange(11):
        case 0 | 1:
            await world.write(name, version + chance.randrange(1, 3), *chance.sample("abcd", 2))
        case 2:
            unpublished.append(await world.put(name, version + 1, *chance.sample("abcd", 1)))
        case 3 if known is not None:
            narrower = replace(known, access=readable_by(*sorted(known.access.tokens)[:1]))
            await world.authority.heads.put(narrower)
            await world.publish(narrower)
        case 4 if unpublished:
            await world.publish(unpublished.pop(chance.randrange(len(unpublished))))
        case 5 if known is not None:
            await world.publish(await bury(world, name, version + 1))
        case 6 if chance.random() < 0.3:
            await world.authority.heads.drop_tenant("acme")
            await world.producer.append(HEADS_TOPIC, record_key("acme"), None)
        case 7:
            world.feed.down = chance.random() < 0.3
            world.feed.silent = chance.random() < 0.3
        case 8:
            world.authority.down = chance.random() < 0.3
        case 9 if world.authority.gate is None:
            world.authority.gate = asyncio.Event()
        case 9:
            assert world.authority.gate is not None
            world.authority.gate.set()
            world.authority.gate = None
        case _:
            reading = asyncio.gather(world.replica.get_many("acme", chance.sample(names, 3)), return_exceptions=True)
            if world.authority.gate is None:
                await reading
    world.clock.advance(chance.choice((0.0, 0.1, 1.0)))
    for _ in range(chance.randrange(4)):
        await asyncio.sleep(0)
