"""Which generation the worker writes first: the embedder's model, this chunker, this analyser."""

from __future__ import annotations

import asyncio

import structlog

from chassis.errors import DeadlineExceeded, DependencyUnavailable, FailedPrecondition, Overloaded
from corpus.analysis import ANALYSER_VERSION
from corpus.domain import Generation
from corpus.generation_plan import GenerationPlan
from corpus.generations import describe_generation
from corpus.ports import Generations
from ingest.ports import Embedder, ModelInfo

_log = structlog.get_logger()

CHUNKER_VERSION = "structure-2"
"""Changes whenever the same document would be cut, or put before the embedder, differently."""
RETRY_SECONDS = 0.25


def generation_of(info: ModelInfo, chunk_target_tokens: int, number: int = 0) -> Generation:
    """What this release makes with a model and chunks of this size."""
    return describe_generation(
        model_id=info.model_id,
        model_revision=info.revision,
        dimensions=info.dimensions,
        chunker=f"{CHUNKER_VERSION}/{chunk_target_tokens}",
        analyser=ANALYSER_VERSION,
        number=number,
    )


def chunk_target_of(generation: Generation) -> int | None:
    """The size of chunks in tokens; None when this release can't make the generation's rows."""
    version, _, target = generation.chunker.partition("/")
    if version != CHUNKER_VERSION or generation.analyser != ANALYSER_VERSION or not target.isdecimal():
        return None
    return int(target)


class ActiveGeneration:
    """The generation that is written to and searched, known once the embedder has told its model."""

    def __init__(self, generations: Generations, embedder: Embedder, chunk_target_tokens: int) -> None:
        self._generations = generations
        self._embedder = embedder
        self._chunk_target_tokens = chunk_target_tokens
        self._current: Generation | None = None

    def current(self) -> Generation:
        """The active generation as it was known last. Raises DependencyUnavailable until ``settle`` has returned."""
        if self._current is None:
            raise DependencyUnavailable("The embedder has not told its model yet.", retry_after_seconds=1.0)
        return self._current

    async def plan(self) -> GenerationPlan:
        """What is kept, as of now. Raises DependencyUnavailable, also until ``settle`` has returned."""
        self.current()
        plan = await self._generations.plan()
        if plan is None:
            raise DependencyUnavailable("No generation is active.", retry_after_seconds=1.0)
        self._current = plan.active
        return plan

    async def settle(self) -> Generation:
        """Waits for the embedder and activates the generation, unless an operator promoted another one. Raises
        FailedPrecondition MODEL_MISMATCH when the stores hold one that the settings don't ask for: vectors of two
        models must never be compared."""
        info = None
        while info is None:
            try:
                info = await self._embedder.model_info()
            except (DependencyUnavailable, Overloaded, DeadlineExceeded) as error:
                _log.info("waiting_for_embedder", reason=error.reason)
                await asyncio.sleep(RETRY_SECONDS)
        wanted = generation_of(info, self._chunk_target_tokens)
        plan = await self._generations.plan()
        if plan is not None and plan.chosen:
            self._current = plan.active
            return plan.active
        if plan is not None and plan.active != wanted:
            active = plan.active
            raise FailedPrecondition(
                f"The stores hold generation {active.name} (model {active.model_id}, chunker {active.chunker}, "
                f"analyser {active.analyser}), but the settings ask for model {wanted.model_id}, "
                f"chunker {wanted.chunker}, analyser {wanted.analyser}. Restore the settings, and build the other "
                f"one beside it (headwater generation create), or start with an empty data directory.",
                reason="MODEL_MISMATCH",
            )
        await self._generations.activate(wanted)
        self._current = wanted
        return wanted
