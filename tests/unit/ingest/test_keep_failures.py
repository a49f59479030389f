"""A build tries a document that fails less and less often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.unit.ingest.generations_world import GenerationsWorld
from tests.unit.ingest.world import WRITER

from chassis.errors import DocumentRejected
from ingest.generations.figures import BUILD, progress_from_text
from ingest.generations.keep import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Failures, KeepGenerations


async def failed(world: GenerationsWorld, name: str) -> tuple[int, str]:
    progress = progress_from_text(await world.stores.generations.noted(name, BUILD))
    assert progress is not None
    assert progress.complete_at is None
    return progress.failed, progress.reason


class Parsed:
    """Counts the documents that the parser is given, and refuses one of them."""

    def __init__(self, world: GenerationsWorld) -> None:
        self.texts: list[str] = []
        self.refused = "text of bad"
        self._parse: Callable[..., Awaitable[Any]] = world.parser.parse
        world.parser.parse = self.parse  # type: ignore[method-assign]

    async def parse(self, data: bytes, filename: str, media_type: str) -> Any:
        self.texts.append(data.decode())
        if data.decode() == self.refused:
            raise DocumentRejected("It takes too long.", reason="PARSER_TIMEOUT")
        return await self._parse(data, filename, media_type)


async def shadow(world: GenerationsWorld) -> str:
    plan = await world.operate.create(WRITER, chunk_target_tokens=40)
    assert plan.beside is not None
    return plan.beside.generation.name


async def attempts(world: GenerationsWorld, keeper: KeepGenerations, parsed: Parsed, seconds: float) -> int:
    """Made by passes every five seconds for so long."""
    before = len(parsed.texts)
    for _ in range(int(seconds / 5)):
        await keeper.once()
        world.clock.advance(5)
    return len(parsed.texts) - before


async def test_a_document_that_fails_is_tried_again_after_longer_and_longer_pauses() -> None:
    async with GenerationsWorld() as world:
        await world.put("bad", 1, "text of bad")
        await world.put("good", 1, "text of good")
        name, keeper = await shadow(world), world.keeper()
        parsed = Parsed(world)
        await keeper.once()
        assert sorted(parsed.texts) == ["text of bad", "text of good"]
        await keeper.once()
        assert len(parsed.texts) == 2
        # It counts as failed although it was not tried.
        assert await failed(world, name) == (1, "PARSER_TIMEOUT")
        world.clock.advance(FIRST_PAUSE_SECONDS)
        assert await attempts(world, keeper, parsed, 3_600) < 12
        assert await attempts(world, keeper, parsed, 4 * LONGEST_PAUSE_SECONDS) in (3, 4, 5)
        parsed.refused = ""
        world.clock.advance(LONGEST_PAUSE_SECONDS)
        await keeper.once()
        progress = progress_from_text(await world.stores.generations.noted(name, BUILD))
        assert progress is not None
        assert (progress.failed, progress.complete_at) == (0, world.clock.now())


async def test_what_was_down_is_no_reason_to_wait() -> None:
    async with GenerationsWorld() as world:
        await world.put("d", 1, "text of d")
        plan = await world.operate.create(WRITER, second_embedder=True)
        assert plan.beside is not None
        name, keeper = plan.beside.generation.name, world.keeper()
        world.second.down = True
        for _ in range(5):
            await keeper.once()
        assert await failed(world, name) == (1, "DEPENDENCY_UNAVAILABLE")
        world.second.down = False
        await keeper.once()
        progress = progress_from_text(await world.stores.generations.noted(name, BUILD))
        assert progress is not None
        assert progress.complete_at is not None


async def test_another_version_or_generation_of_a_document_that_failed_does_not_wait() -> None:
    async with GenerationsWorld() as world:
        await world.put("d", 1, "text of d")
        head = await world.head("d")
        assert head is not None
        failures = Failures(world.clock)
        failures.tried(head, "g", "PARSER_TIMEOUT")
        assert failures.waits(head, "g") == "PARSER_TIMEOUT"
        assert failures.waits(head, "h") == failures.waits(replace(head, chunks_version=2), "g") == ""
        failures.tried(head, "g", "")
        assert failures.waits(head, "g") == ""
