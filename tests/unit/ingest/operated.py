"""A world whose dead letters are kept and decided on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.unit.ingest.world import WRITER, World, stop, until

from corpus.adapters.memory.dead_letters import MemoryDeadLetterStore, MemoryHalts, MemoryKnownBadContent
from corpus.dead_letters import Letter, LetterFilter
from corpus.domain import ChangeState
from ingest.adapters.event_log import EventLogDeadLetters
from ingest.adapters.kept_dead_letters import KeptDeadLetters
from ingest.codec import CHANGES_TOPIC
from ingest.dead_letters.decide import DecideDeadLetters, SettleReplays
from ingest.domain import Draft
from ingest.known_bad import KnownBadFiles
from ingest.parsing.model import ParsedDocument


class Operated:
    """A world whose dead letters are kept and decided on."""

    def __init__(self, world: World) -> None:
        stores, clock = world.stores, world.clock
        self.world = world
        self.letters, self.known_bad, self.halts = MemoryDeadLetterStore(), MemoryKnownBadContent(), MemoryHalts()
        # As the world's own ports: whoever watches the calls of those watches these, too.
        letters, known_bad = world._through(self.letters, "letters"), world._through(self.known_bad, "known_bad")
        objects, ledger = world._through(stores.objects, "objects"), world._through(stores.ledger, "ledger")
        producer = world._through(stores.log.producer(), "log")
        self.kept = KeptDeadLetters(letters, objects, EventLogDeadLetters(producer, clock), clock)
        known = KnownBadFiles(known_bad, clock, "parsers-1")
        world.apply = replace(world.apply, index=replace(world.apply.index, known_bad=known))
        world.handler = replace(
            world.handler,
            apply=world.apply,
            dead_letters=self.kept,
            known_bad=known,
            replays=SettleReplays(letters),
        )
        self.decide = DecideDeadLetters(
            letters,
            known_bad,
            self.halts,
            stores.tenants,
            stores.heads,
            ledger,
            objects,
            producer,
            clock,
        )

    async def work(self) -> None:
        """Handles everything that is in the live lane."""
        worker = asyncio.create_task(self.world.consumer().run())

        async def done() -> bool:
            return worker.done() or await self.world.lag() == 0

        await until(done)
        if worker.done():
            await worker
        await stop(worker)

    async def append(self, value: bytes | None, key: bytes = b"acme/doc", topic: str = CHANGES_TOPIC) -> None:
        await self.world.stores.log.producer().append(topic, key, value)

    async def put(self, document_id: str, text: str, version: int = 0) -> str:
        receipt = await self.world.accept.put(WRITER, Draft(document_id, version, filename="a.txt"), text.encode())
        return receipt.event_id

    async def state(self, event_id: str) -> ChangeState:
        record = await self.world.record(event_id)
        assert record is not None
        return record.state

    async def all(self) -> list[Letter]:
        return list(await self.letters.list(LetterFilter()))

    def heal(self) -> None:
        """The parser reads from now on what it refused."""
        parse = self.world.parser.parse

        async def lenient(data: bytes, filename: str, media_type: str) -> ParsedDocument:
            return await parse(data.replace(b"BAD", b"GOOD"), filename, media_type)

        self.world.parser.parse = lenient  # type: ignore[method-assign]
