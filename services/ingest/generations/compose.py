"""Generations of a running service, put together: embedders by their settings, the use cases of each role."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass

from chassis.clock import Clock
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import open_channel
from corpus.engines import CorpusStores
from corpus.ports import EmbeddingCache
from ingest.adapters.embedder_client import EmbedderClient, EmbedderWithModel
from ingest.adapters.tokens import ModelTokens
from ingest.embedding import EmbedPassages
from ingest.generations.figures import VerdictRules
from ingest.generations.keep import BuildPace, KeepGenerations
from ingest.generations.manage import ManageGenerations
from ingest.generations.recipes import EmbedderTarget, Recipes
from ingest.index import IndexDocument
from ingest.ports import Embedder
from ingest.rows import ChunkRows
from ingest.settings import IngestSettings


@dataclass(frozen=True, slots=True)
class Embedders:
    """Those that the settings name."""

    first: Embedder
    second: Embedder | None

    def by_model(self) -> Embedder:
        """One that answers for the models of both."""
        return self.first if self.second is None else EmbedderWithModel(self.first, self.second)


async def open_embedders(lifecycle: Lifecycle, settings: IngestSettings) -> Embedders:
    """Connects when first called."""

    async def client(target: str) -> EmbedderClient:
        return EmbedderClient(await lifecycle.stack.enter_async_context(open_channel(target, settings=settings)))

    second = await client(settings.shadow_embedder_target) if settings.shadow_embedder_target else None
    return Embedders(await client(settings.embedder_target), second)


async def open_targets(
    lifecycle: Lifecycle, settings: IngestSettings, embedders: Embedders, cache: EmbeddingCache
) -> list[EmbedderTarget]:
    """The embedders, each with a queue of its own and its model's tokenizer; the usual one first."""
    second_model = settings.shadow_embedding_model or settings.embedding_model
    targets = []
    for embedder, model in ((embedders.first, settings.embedding_model), (embedders.second, second_model)):
        if embedder is not None:
            tokens = await asyncio.to_thread(ModelTokens.of_model, model)
            embed = await lifecycle.stack.enter_async_context(EmbedPassages(embedder, cache))
            targets.append(EmbedderTarget(embedder, embed, tokens))
    return targets


def manage_generations(
    settings: IngestSettings, corpus: CorpusStores, embedders: Embedders, clock: Clock
) -> ManageGenerations:
    """What administrators may do."""
    rules = VerdictRules(
        settings.verdict_least_queries,
        settings.verdict_least_overlap,
        settings.verdict_most_hit_loss,
        settings.verdict_most_mrr_loss,
        settings.verdict_most_latency_ratio,
    )
    return ManageGenerations(
        corpus.generations,
        corpus.tenants,
        corpus.heads,
        corpus.chunks,
        embedders.first,
        embedders.second,
        clock,
        rules,
    )


async def keep_generations(
    lifecycle: Lifecycle,
    settings: IngestSettings,
    corpus: CorpusStores,
    cache: EmbeddingCache,
    embedders: Embedders,
    index: IndexDocument,
    rows: ChunkRows,
    clock: Clock,
) -> KeepGenerations:
    """What a worker does in the background. Its texts wait in queues of their own, so that no live change waits behind
    them."""
    targets = await open_targets(lifecycle, settings, embedders, cache)
    return KeepGenerations(
        corpus.generations,
        corpus.tenants,
        corpus.heads,
        rows,
        Recipes(index, targets),
        clock,
        f"{socket.gethostname()}/{os.getpid()}",
        BuildPace(settings.generation_documents_per_second, pause_seconds=settings.generation_pause_seconds),
    )
