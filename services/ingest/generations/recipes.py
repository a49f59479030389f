"""What it takes to make the rows of a generation here: its chunker, and an embedder with its model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from chassis.errors import DeadlineExceeded, DependencyUnavailable, FailedPrecondition, Overloaded
from corpus.domain import Generation
from ingest.chunking import Chunker, ChunkSettings
from ingest.chunking.tokens import TokenCounter
from ingest.embedding import EmbedPassages
from ingest.generation import RETRY_SECONDS, chunk_target_of
from ingest.index import IndexDocument
from ingest.ports import Embedder

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EmbedderTarget:
    """One embedder, the queue before it, and the tokenizer of its model."""

    embedder: Embedder
    embed: EmbedPassages
    tokens: TokenCounter


class Recipes:
    """Use cases that make the rows of one generation each, remembered by its name.

    Args:
        index: Whose chunker and embedder are replaced.
        targets: The embedders that there are, the usual one first.
    """

    def __init__(self, index: IndexDocument, targets: Sequence[EmbedderTarget]) -> None:
        self._index = index
        self._targets = targets
        self._made: dict[str, IndexDocument] = {}

    async def of(self, generation: Generation) -> IndexDocument:
        """Makes the rows of this generation. Raises FailedPrecondition GENERATION_NOT_MADE_HERE when this release cuts
        text differently or no embedder has the model; DependencyUnavailable, Overloaded, DeadlineExceeded when an
        embedder that may have it does not answer."""
        known = self._made.get(generation.name)
        if known is None:
            known = self._made[generation.name] = await self._make(generation)
        return known

    async def ready(self, generation: Generation) -> None:
        """Returns once the generation's rows can be made. Raises FailedPrecondition GENERATION_NOT_MADE_HERE."""
        while True:
            try:
                await self.of(generation)
            except (DependencyUnavailable, Overloaded, DeadlineExceeded) as error:
                _log.info("waiting_for_embedder", reason=error.reason)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def beside(self, generation: Generation) -> IndexDocument:
        """As ``of``, without what judges documents and their senders: that is for the active generation to say."""
        return replace(await self.of(generation), known_bad=None, breaker=None)

    async def _make(self, generation: Generation) -> IndexDocument:
        target_tokens = chunk_target_of(generation)
        if target_tokens is None:
            raise _not_made_here(generation, "this release cuts or analyses text differently")
        unreachable: DependencyUnavailable | Overloaded | DeadlineExceeded | None = None
        for target in self._targets:
            try:
                info = await target.embedder.model_info()
            except (DependencyUnavailable, Overloaded, DeadlineExceeded) as error:
                unreachable = error
                continue
            model = (info.model_id, info.revision, info.dimensions)
            if model == (generation.model_id, generation.model_revision, generation.dimensions):
                target.embed.generation = target.embed.generation or generation
                chunker = Chunker(target.tokens, ChunkSettings(target_tokens=target_tokens), target.embed.topic_vectors)
                return replace(self._index, chunker=chunker, embed=target.embed)
        if unreachable is not None:
            raise unreachable
        raise _not_made_here(generation, "no embedder has its model: set HEADWATER_SHADOW_EMBEDDER_TARGET to one")


def _not_made_here(generation: Generation, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"Rows of generation {generation.name} (model {generation.model_id}, chunker {generation.chunker}, analyser"
        f" {generation.analyser}) can't be made: {why}.",
        reason="GENERATION_NOT_MADE_HERE",
    )
