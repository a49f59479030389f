"""A worker at work, and what tests of it wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.unit.ingest.world import TENANT, World, stop, until

from corpus.domain import ChangeState
from ingest.consumer import ChangeConsumer
from ingest.domain import DocumentChange


@asynccontextmanager
async def working(world: World, max_in_flight: int = 8) -> AsyncIterator[ChangeConsumer]:
    consumer = world.consumer(max_in_flight)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        await stop(task)


async def ended(world: World, *event_ids: str) -> dict[str, ChangeState]:
    records = await world.stores.ledger.get_many(TENANT, event_ids)
    return {event_id: record.state for event_id, record in records.items()}


async def until_ended(world: World, *event_ids: str) -> dict[str, ChangeState]:
    async def all_ended() -> bool:
        states = await ended(world, *event_ids)
        return len(states) == len(set(event_ids)) and ChangeState.PENDING not in states.values()

    await until(all_ended)
    return await ended(world, *event_ids)


async def until_lag_is(world: World, lag: int) -> None:
    async def is_so() -> bool:
        return await world.lag() == lag

    await until(is_so)


async def append(world: World, *events: DocumentChange) -> list[str]:
    for event in events:
        await world.change_log.append(event)
    return [event.event_id for event in events]
