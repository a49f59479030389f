"""A wrong mapping does not turn the topic of sources into dead letters: the consumer halts, and records wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.sources_world import SourcesWorld, content, golden, sources
from tests.unit.ingest.world import TENANT, WRITER, World, stop, until

from chassis.errors import DependencyUnavailable
from chassis.eventlog.port import Partition, Record
from corpus.dead_letters import OF_SOURCES
from ingest import consumer as consuming
from ingest.codec import SOURCES_TOPIC
from ingest.handle import RecordInWork
from ingest.known_bad import INGEST_HALTED
from ingest.open_changes import LookAtOpenChanges, OpenCause
from ingest.rejections import LEAST_IN_A_MINUTE, PROBE_SECONDS, RejectionBreaker
from ingest.sources.mapping import Sources
from ingest.sources.model import SourceRecord

RECORDS = 80


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "LONGEST_BACK_OFF_SECONDS", 0.1)


def wrong() -> Sources:
    """Somebody forgot the table of articles."""
    return Sources(sources={name: each for name, each in sources().sources.items() if name != "articles"})


def breaking(operated: Operated, mapped: Sources) -> tuple[SourcesWorld, RejectionBreaker]:
    made = SourcesWorld(operated.world, mapped)
    breaker = RejectionBreaker(None, operated.halts, operated.world.clock, f"node/1{OF_SOURCES}", part="sources")
    made.handler = replace(made.handler, dead_letters=operated.kept, breaker=breaker)
    return made, breaker


@asynccontextmanager
async def halted() -> AsyncIterator[tuple[Operated, SourcesWorld, RejectionBreaker, asyncio.Task[None]]]:
    """A consumer that has met many records without a mapping."""
    async with World() as world:
        operated = Operated(world)
        made, breaker = breaking(operated, wrong())
        for number in range(RECORDS):
            row = golden("debezium-create").replace(b"1004", str(5000 + number).encode())
            await made.send(SourceRecord(json.dumps({"id": 5000 + number}).encode(), row))
        running = asyncio.create_task(made.consumer().run())

        async def is_halted() -> bool:
            return breaker.halt is not None

        try:
            await until(is_halted)
            yield operated, made, breaker, running
        finally:
            if not running.done():
                await stop(running)


async def taken(world: World) -> None:
    """Waits until every record has reached its end, while time passes."""
    lag = world.stores.log.consumer(SOURCES_TOPIC, "sources")

    async def done() -> bool:
        world.clock.advance(1)
        return not sum((await lag.lag()).values())

    await until(done, 60)


async def test_a_wrong_mapping_halts_the_consumer_and_what_waits_is_taken_once_it_is_mended() -> None:
    async with halted() as (operated, made, breaker, running):
        world = operated.world
        world.clock.advance(PROBE_SECONDS * 3)
        (halt,) = await operated.halts.list()
        assert (halt.reason, halt.worker) == ("NO_MAPPING", breaker.worker)
        assert len(await operated.all()) == LEAST_IN_A_MINUTE - 1
        # Nothing that was accepted waits for it.
        await operated.put("other", "words")
        stores = world.stores
        look = LookAtOpenChanges(stores.ledger, operated.halts, operated.letters, world.clock, stores.tenants)
        assert [each.cause for each in await look.list(WRITER)] == [OpenCause.WAITING]
        await stop(running)
        # With the file mended a new worker is started.
        made, breaker = breaking(operated, sources())
        running = asyncio.create_task(made.consumer().run())
        await taken(world)
        await stop(running)
        assert breaker.halt is None
        # One more has been put, and what the halt came too late for is for an operator to replay.
        assert len(await pending(world)) == 1 + RECORDS - (LEAST_IN_A_MINUTE - 1)
        assert len(await operated.all()) == LEAST_IN_A_MINUTE - 1


async def pending(world: World) -> list[str]:
    return [each.key.document_id for each in await world.stores.ledger.oldest_pending(TENANT, 1000)]


async def test_a_good_record_among_those_that_wait_ends_the_halt() -> None:
    async with halted() as (operated, made, breaker, _):
        event = content("cloudevents-structured")
        body = json.dumps(event.pop("data")).encode()
        await made.send(SourceRecord(b"", body), {f"ce_{name}": str(value).encode() for name, value in event.items()})
        await taken(operated.world)
        assert breaker.halt is None
        assert await operated.halts.list() == []
        assert len(await operated.all()) == RECORDS
        assert await pending(operated.world) == ["wiki/pages/42"]


async def test_a_record_that_says_nothing_passes_a_halt_and_does_not_end_it() -> None:
    async with halted() as (operated, made, breaker, _):
        work = RecordInWork(Record(Partition(SOURCES_TOPIC, 0), 1000, b"k", None, {}, 0))
        operated.world.clock.advance(PROBE_SECONDS * 2)
        await made.handler.attempt(work)
        assert breaker.halt is not None
        bad = RecordInWork(Record(Partition(SOURCES_TOPIC, 0), 1001, b"k", golden("debezium-create"), {}, 0))
        with pytest.raises(DependencyUnavailable) as caught:
            await made.handler.attempt(bad)
        assert (caught.value.reason, bad.held) == (INGEST_HALTED, 1)
