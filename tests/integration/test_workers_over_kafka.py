"""Ingest workers over a real Kafka: whoever joins or leaves meanwhile, every accepted change is applied in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.contract.event_log_world import kafka_endpoint
from tests.unit.ingest.world import START, WRITER, Stores, World, stop, until

from chassis.clock import ManualClock
from chassis.errors import HeadwaterError
from chassis.eventlog.kafka import KafkaEventLog
from corpus.domain import ChangeState
from ingest.domain import Draft, Lane

pytestmark = pytest.mark.cluster

DOCUMENTS, VERSIONS, PARTITIONS = 12, 8, 6


@asynccontextmanager
async def stores_over_kafka() -> AsyncIterator[Stores]:
    stores = Stores(ManualClock(START))
    stores.log = KafkaEventLog(kafka_endpoint())  # type: ignore[assignment]
    try:
        yield stores
    finally:
        await stores.log.close()


@asynccontextmanager
async def worker(stores: Stores) -> AsyncIterator[None]:
    """A worker with both lanes and connections of its own."""
    async with World(stores=stores, partitions=PARTITIONS) as world:
        tasks = [asyncio.create_task(lane.run()) for lane in world.lanes()]
        try:
            yield
        finally:
            for task in tasks:
                await stop(task)


async def test_every_change_is_applied_in_order_while_workers_come_and_go() -> None:
    async with stores_over_kafka() as stores, World(stores=stores, partitions=PARTITIONS) as api:

        async def put(document: int, version: int) -> None:
            draft = Draft(f"doc-{document}", version, filename="a.txt", principals=("public",))
            lane = Lane.BULK if document % 3 == 0 else Lane.LIVE
            await api.accept.put(WRITER, draft, f"Version {version}.".encode(), lane)

        async def feed() -> None:
            for version in range(1, VERSIONS + 1):
                await asyncio.gather(*(put(document, version) for document in range(DOCUMENTS)))
                await asyncio.sleep(0.3)

        async def all_done() -> bool:
            try:
                return not sum((await api.change_log.lag()).values())
            except HeadwaterError:
                return False

        async with worker(stores):
            feeding = asyncio.create_task(feed())
            await asyncio.sleep(0.5)
            async with worker(stores):
                await asyncio.sleep(0.5)
                async with worker(stores):
                    await asyncio.sleep(0.5)
            await feeding
            await until(all_done, seconds=60)
        for document in range(DOCUMENTS):
            head = await api.head(f"doc-{document}")
            assert head is not None
            assert head.version == VERSIONS
        counts = await stores.ledger.counts(WRITER.tenant_id)
        assert counts == {ChangeState.APPLIED: DOCUMENTS * VERSIONS}
