"""What is announced is in doubt: the authority answers for it, until it has come about or is called off."""

from __future__ import annotations

import asyncio

import prometheus_client
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from tests.contract.corpus_samples import key, tombstone
from tests.unit.corpus.feed_world import ReplicaWorld, until

from chassis.errors import DependencyUnavailable
from chassis.telemetry.metrics import HEADS_REPLICA_READS
from corpus.domain import Announcement, CalledOff, Head
from corpus.feed import HEADS_TOPIC, encode_announcement, record_key

A, WIDE = frozenset("a"), frozenset("ab")


async def announce(world: ReplicaWorld, document_id: str, version: int, announcement_id: str = "change") -> None:
    """Tells the replica, and waits until it has read it."""
    said = Announcement(key(document_id), announcement_id, version)
    await world.producer.append(HEADS_TOPIC, record_key("acme", document_id), encode_announcement(said))
    await world.settled()


async def call_off(world: ReplicaWorld, document_id: str, announcement_id: str = "change") -> None:
    said = CalledOff(key(document_id), announcement_id)
    await world.producer.append(HEADS_TOPIC, record_key("acme", document_id), encode_announcement(said))
    await world.settled()


async def _bury(world: ReplicaWorld, document_id: str, version: int) -> Head:
    buried = tombstone(document_id, version)
    await world.authority.heads.put(buried)
    return buried


async def first_answer(world: ReplicaWorld, document_id: str) -> tuple[int, frozenset[str]] | None:
    """The first one that is not a failure."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await world.read(document_id)
            except DependencyUnavailable:
                await asyncio.sleep(0.001)


# -- doubt --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["revoked", "deleted", "replaced"])
async def test_a_head_whose_record_never_comes_is_served_as_the_authority_has_it(change: str) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 2)
        assert await world.read("doc") == (1, WIDE)
        match change:
            case "revoked":
                await world.put("doc", 2, "a")
            case "deleted":
                await _bury(world, "doc", 2)
            case _:
                await world.put("doc", 3, "a")
        # No record; the worker died here.
        wanted = {"revoked": (2, A), "deleted": None, "replaced": (3, A)}[change]
        assert await world.read("doc") == wanted


async def test_a_document_in_doubt_is_asked_for_by_every_read_and_nothing_of_it_is_kept() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await world.write("other", 1, "a")
        await world.settled()
        await announce(world, "doc", 2)
        world.authority.asked.clear()
        for _ in range(3):
            assert (await world.replica.get_many("acme", ["doc", "other"])).keys() == {"doc", "other"}
        assert world.authority.asked == ["doc"] * 3
        await world.settled()
        assert not world.replica.unanswered()  # nor does it ask when nobody reads


async def test_a_document_in_doubt_is_closed_while_the_authority_is_down() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await world.write("other", 1, "a")
        await world.settled()
        await announce(world, "doc", 2)
        world.authority.down = True
        with pytest.raises(DependencyUnavailable):
            await world.read("doc")
        assert await world.read("other") == (1, A)


async def test_what_is_announced_of_readers_taken_at_the_heads_own_version_is_in_doubt_as_well() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 5, "a", "b")
        await world.settled()
        await announce(world, "doc", 6)
        assert await world.read("doc") == (5, WIDE)
        await world.put("doc", 5, "a")
        assert await world.read("doc") == (5, A)


async def test_an_answer_that_an_announcement_overtakes_is_not_kept() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.put("doc", 1, "a", "b")
        world.authority.gate = asyncio.Event()
        asking = asyncio.create_task(world.read("doc"))
        await until(lambda: world.authority.asked == ["doc"])
        said = Announcement(key("doc"), "change", 2)
        await world.producer.append(HEADS_TOPIC, record_key("acme", "doc"), encode_announcement(said))
        await until(lambda: bool(world.replica._announced.among("acme", ["doc"])))
        world.authority.gate.set()
        world.authority.gate = None
        await asking
        await world.settled()
        await world.put("doc", 2, "a")
        assert await world.read("doc") == (2, A)


# -- its end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
async def test_the_record_of_the_announced_version_or_a_greater_one_ends_the_doubt_alone(version: int) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 2)
        world.authority.down = True
        await world.write("doc", version, "a")
        assert await first_answer(world, "doc") == (version, A)


async def test_the_authoritys_word_of_the_announced_version_ends_the_doubt_and_is_kept() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 2)
        await world.put("doc", 2, "a")
        assert not await world.known("doc")
        assert await world.known("doc")
        assert await world.read("doc") == (2, A)


async def test_a_record_of_a_smaller_version_ends_no_doubt() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 3)
        await world.write("doc", 2, "a", "b")
        await world.settled()
        assert not await world.known("doc")
        await world.put("doc", 3, "a")
        assert await world.read("doc") == (3, A)


async def test_what_is_called_off_is_in_doubt_no_more() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 2)
        await world.put("doc", 1, "a")  # all that was done of it, and nobody was told
        await call_off(world, "doc")
        assert await world.known("doc")
        assert await world.read("doc") == (1, A)


async def test_to_call_one_change_off_leaves_the_doubt_about_another() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 2, "one")
        await announce(world, "doc", 3, "other")
        await call_off(world, "doc", "other")
        assert not await world.known("doc")
        await world.put("doc", 2, "a")
        assert await world.read("doc") == (2, A)
        assert await world.known("doc")


async def test_what_was_never_announced_can_be_called_off() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a")
        await call_off(world, "doc")
        await call_off(world, "nothing")
        assert await world.read("doc") == (1, A)
        assert await world.read("nothing") is None


async def test_a_late_announcement_does_no_harm() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 6, "a")
        await world.settled()
        await announce(world, "doc", 5)
        await announce(world, "doc", 6)
        assert await world.known("doc")
        assert await world.read("doc") == (6, A)


async def test_a_late_announcement_of_a_document_that_is_not_known_here_ends_with_its_first_answer() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.put("doc", 6, "a")
        await announce(world, "doc", 5)
        assert await world.known("doc")


@pytest.mark.parametrize("what", ["document", "tenant"])
async def test_what_is_forgotten_is_in_doubt_no_more(what: str) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 5, "a")
        await world.settled()
        await announce(world, "doc", 6)
        await world.authority.heads.drop_tenant("acme")
        await world.producer.append(HEADS_TOPIC, record_key("acme", "doc" if what == "document" else ""), None)
        await world.settled()
        assert await world.read("doc") is None
        assert await world.known("doc")
        # A tenant of the same name, whose versions begin anew.
        await world.write("doc", 1, "a")
        await world.settled()
        assert await world.known("doc")
        assert await world.read("doc") == (1, A)


# -- replicas that start or lose the feed --------------------------------------------------------------------------


@pytest.mark.parametrize("committed", [False, True])
async def test_a_replica_that_finds_an_announcement_as_the_last_word_believes_no_older_head(committed: bool) -> None:
    world = ReplicaWorld()
    await world.log.ensure_topic(HEADS_TOPIC, 3, compacted=True)
    await world.write("doc", 1, "a", "b")
    said = encode_announcement(Announcement(key("doc"), "change", 2))
    await world.producer.append(HEADS_TOPIC, record_key("acme", "doc"), said)
    if committed:
        await world.put("doc", 2, "a")
    async with world.following():
        assert await world.known("doc") is committed
        if not committed:
            assert await world.read("doc") == (1, WIDE)
            await world.put("doc", 2, "a")
        assert await world.read("doc") == (2, A)


async def test_a_doubt_outlives_a_log_that_was_created_anew() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 2)
        world.feed.truncated = True
        await until(lambda: world.feed.opened == 2 and world.replica.is_current())
        assert await world.read("doc") == (1, WIDE)
        await world.put("doc", 2, "a")
        assert await world.read("doc") == (2, A)


async def test_a_doubt_outlives_silence() -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await announce(world, "doc", 2)
        world.feed.down = True
        await asyncio.sleep(0)
        world.clock.advance(1000)
        assert not world.replica.is_current()
        assert await world.read("doc") == (1, WIDE)
        world.feed.down = False
        await until(world.replica.is_current)
        assert not await world.known("doc")


async def test_a_head_of_the_greatest_version_can_be_in_doubt_too() -> None:
    world = ReplicaWorld()
    last = 2**63 - 1
    async with world.following():
        await world.write("doc", last, "a", "b")
        await world.settled()
        await announce(world, "doc", last + 1)
        assert not await world.known("doc")
        await call_off(world, "doc")
        assert await world.known("doc")


@pytest.mark.parametrize("other", [Announcement(key("other"), "x", 9), Announcement(key("doc"), "x", 0)])
async def test_an_announcement_that_makes_no_sense_is_a_reason_to_ask(other: Announcement) -> None:
    world = ReplicaWorld()
    async with world.following():
        await world.write("doc", 1, "a", "b")
        await world.settled()
        await world.put("doc", 2, "a")
        await world.producer.append(HEADS_TOPIC, record_key("acme", "doc"), encode_announcement(other))
        await world.settled()
        assert await world.known("doc")
        assert await world.read("doc") == (2, A)


# -- metrics ------------------------------------------------------------------------------------------------------


async def test_the_metrics_page_shows_reads_by_every_source_before_there_are_any() -> None:
    registry = prometheus_client.CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(scope_info_enabled=False, registry=registry)])
    HEADS_REPLICA_READS.bind(provider.get_meter("headwater"))
    world = ReplicaWorld()
    async with world.following():
        page = prometheus_client.generate_latest(registry).decode()
        provider.shutdown()
    for source in ("replica", "authority", "authority_stale"):
        assert f'headwater_heads_replica_reads_total{{source="{source}"}} 0.0' in page
