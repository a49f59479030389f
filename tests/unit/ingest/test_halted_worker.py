"""A halted worker holds documents, and applies the deletes and changes of access behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from tests.unit.ingest.consuming import append, until_ended
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.world import World, stop, until

from chassis.errors import DocumentRejected
from corpus.domain import ChangeState, HeadState
from ingest import consumer as consuming
from ingest.canary import Canary, CanaryDocument
from ingest.consumer import ChangeConsumer
from ingest.domain import Delete, SetAccess
from ingest.parsing.model import ParsedDocument
from ingest.rejections import RejectionBreaker

LINES = (CanaryDocument("canary.txt", b"a canary sings"),)
IN_FLIGHT = 4


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "LONGEST_BACK_OFF_SECONDS", 0.1)


@dataclass
class Halted:
    """A worker that can't parse, until it is mended."""

    world: World
    breaker: RejectionBreaker
    worker: ChangeConsumer
    broken: bool = True
    parsing: int = 0
    most: int = 0

    async def mended(self, *event_ids: str) -> None:
        """Mends it, and waits until these are applied."""
        self.broken = False

        async def time_passes() -> None:
            while True:
                self.world.clock.advance(1)
                await asyncio.sleep(0.01)

        passing = asyncio.create_task(time_passes())
        states = await until_ended(self.world, *event_ids)
        passing.cancel()
        assert set(states.values()) == {ChangeState.APPLIED}


@asynccontextmanager
async def halted(*live: str) -> AsyncIterator[Halted]:
    """A world with some live documents, and a worker that has halted since at the document ``broken``."""
    async with World(partitions=1) as world:
        operated = Operated(world)
        canary = Canary(world.parser, world.apply.index.chunker, world.embedder, world.generation, LINES)
        breaker = RejectionBreaker(canary, operated.halts, world.clock, "node/1")
        world.apply = replace(world.apply, index=replace(world.apply.index, breaker=breaker))
        world.handler = replace(world.handler, apply=world.apply, doubts=breaker)
        rig = Halted(world, breaker, world.consumer(IN_FLIGHT), broken=False)
        parse = world.parser.parse

        async def parse_unless_broken(data: bytes, filename: str, media_type: str) -> ParsedDocument:
            if rig.broken:
                raise DocumentRejected("The parsers crash.", reason="PARSER_CRASHED")
            rig.parsing += 1
            rig.most = max(rig.most, rig.parsing)
            await asyncio.sleep(0.001)
            rig.parsing -= 1
            return await parse(data, filename, media_type)

        world.parser.parse = parse_unless_broken  # type: ignore[method-assign]
        running = asyncio.create_task(rig.worker.run())
        try:
            events = [await world.upsert(each, 1, f"words of {each}") for each in live]
            if events:
                await until_ended(world, *await append(world, *events))
            rig.broken = True
            await append(world, await world.upsert("broken", 1, "words"))

            async def is_halted() -> bool:
                return breaker.halt is not None

            await until(is_halted)
            yield rig
        finally:
            await stop(running)


async def test_deletes_and_revocations_are_applied_behind_documents_that_wait() -> None:
    async with halted("gone", "revoked") as rig:
        world = rig.world
        waiting = [await world.upsert(f"new-{n}", 1, f"words {n}") for n in range(3 * IN_FLIGHT)]
        held = await append(world, *waiting)
        await until_ended(
            world,
            *await append(
                world, world.event("gone", 2, Delete()), world.event("revoked", 2, SetAccess(("group:few",), 0))
            ),
        )
        assert rig.breaker.halt is not None
        gone, revoked = await world.head("gone"), await world.head("revoked")
        assert gone is not None
        assert gone.state is HeadState.DELETED
        assert revoked is not None
        assert revoked.principals == ("group:few",)
        # Of what waits nothing may be taken as read.
        assert await world.lag() == 3 * IN_FLIGHT + 3
        await rig.mended("broken@1-upsert", *held)
        # Those that waited go on beside what is new.
        assert rig.most <= IN_FLIGHT + 1


async def test_the_changes_of_a_document_that_waits_wait_behind_it() -> None:
    async with halted("gone") as rig:
        world = rig.world
        held = await append(
            world,
            await world.upsert("new", 1, "words"),
            *[world.event("new", version, SetAccess((f"group:{version}",), 0)) for version in range(2, 10)],
            world.event("new", 10, Delete()),
        )
        await until_ended(world, *await append(world, world.event("gone", 2, Delete())))
        assert await world.head("new") is None
        await rig.mended("broken@1-upsert", *held)
        head = await world.head("new")
        assert head is not None
        assert (head.version, head.state) == (10, HeadState.DELETED)


async def test_a_halted_worker_takes_a_bounded_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "MOST_HELD", 10)
    async with halted() as rig:
        world = rig.world
        held = await append(world, *[await world.upsert(f"new-{n}", 1, f"words {n}") for n in range(40)])

        seen: list[int] = []

        async def is_full_for_long() -> bool:
            if len(rig.worker._held) >= 10:
                seen.append(len(rig.worker._running))
            return len(seen) >= 30

        await until(is_full_for_long)
        assert max(seen) <= 10 + IN_FLIGHT
        await rig.mended("broken@1-upsert", *held)
