"""Which generation the worker writes: the embedder's model, this chunker, this analyser."""

from __future__ import annotations

import asyncio

import structlog

from chassis.errors import DeadlineExceeded, DependencyUnavailable, FailedPrecondition, Overloaded
from corpus.analysis import ANALYSER_VERSION
from corpus.domain import Generation
from corpus.generations import describe_generation
from corpus.ports import Generations
from ingest.ports import Embedder

_log = structlog.get_logger()

CHUNKER_VERSION = "structure-2"
"""Changes whenever the same document would be cut, or put before the embedder, differently."""
RETRY_SECONDS = 0.25


class ActiveGeneration:
    """The generation that is written to, known once the embedder has told its model."""

    def __init__(self, generations: Generations, embedder: Embedder, chunk_target_tokens: int) -> None:
        self._generations = generations
        self._embedder = embedder
        self._chunker = f"{CHUNKER_VERSION}/{chunk_target_tokens}"
        self._current: Generation | None = None

    def current(self) -> Generation:
        """Raises DependencyUnavailable until ``settle`` has returned."""
        if self._current is None:
            raise DependencyUnavailable("The embedder has not told its model yet.", retry_after_seconds=1.0)
        return self._current

    async def settle(self) -> Generation:
        """Waits for the embedder and activates the generation. Raises FailedPrecondition MODEL_MISMATCH when the
        stores hold another one: vectors of two models must never be compared."""
        info = None
        while info is None:
            try:
                info = await self._embedder.model_info()
            except (DependencyUnavailable, Overloaded, DeadlineExceeded) as error:
                _log.info("waiting_for_embedder", reason=error.reason)
                await asyncio.sleep(RETRY_SECONDS)
        wanted = describe_generation(
            model_id=info.model_id,
            model_revision=info.revision,
            dimensions=info.dimensions,
            chunker=self._chunker,
            analyser=ANALYSER_VERSION,
        )
        active = await self._generations.active()
        if active is not None and active != wanted:
            raise FailedPrecondition(
                f"The stores hold generation {active.name} (model {active.model_id}, chunker {active.chunker}, "
                f"analyser {active.analyser}), but the settings ask for model {wanted.model_id}, "
                f"chunker {wanted.chunker}, analyser {wanted.analyser}. Restore the "
                f"settings, or start with an empty data directory.",
                reason="MODEL_MISMATCH",
            )
        await self._generations.activate(wanted)
        self._current = wanted
        return wanted
