"""Composition root of the retriever: settings → adapters → use cases → edge → run until a signal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from threadpoolctl import threadpool_limits

from chassis.clock import Clock, SystemClock
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import open_channel
from chassis.rpc.server import GrpcServer
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from corpus.engines import Engines, open_engines
from corpus.ports import ChunkStore, Generations, HeadReads, LexicalIndex, Tenants, VectorIndex
from headwater.embedding.v1.embedding_pb2_grpc import EmbeddingServiceStub
from headwater.rerank.v1.rerank_pb2_grpc import RerankServiceStub
from headwater.retrieval.v1 import retrieval_pb2_grpc
from retriever.adapters.embedder import EmbedderWithModel, GrpcQueryEmbedder
from retriever.adapters.reranker import GrpcReranker
from retriever.catalogue import Catalogue
from retriever.citations import ResolveCitations
from retriever.domain import SEARCHING_LEGS, Leg
from retriever.ports import QueryEmbedder, Reranker
from retriever.reads import CorpusReads, ReadDeadlines
from retriever.rows import HeadChecks
from retriever.service import SearchPassages, SearchPolicy
from retriever.servicer import RetrievalServicer
from retriever.settings import RetrieverSettings
from retriever.shadow import ShadowSearches
from retriever.stages.adjust import AdjustPolicy
from retriever.stages.feedback import Feedback
from retriever.stages.legs import LegDeadlines, Legs
from retriever.stages.ranking import RankingPolicy

SERVICE: Final = "headwater.retrieval.v1.RetrievalService"

_ISSUERS: Final = ("gateway", "ingest", "retriever")
_ACCEPTED_ISSUERS: Final = ("gateway",)
_REFRESH_SECONDS: Final = 0.5
"""How late a new generation is searched at the most."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What is read. Nothing here is ever written by this service."""

    vectors: VectorIndex
    lexical: LexicalIndex
    heads: HeadReads
    chunks: ChunkStore
    tenants: Tenants
    generations: Generations


async def serve(lifecycle: Lifecycle, settings: RetrieverSettings) -> None:
    """Runs the retriever until told to stop. Ready before anything was ingested: searches then find nothing."""
    if settings.profile == "embedded":
        # One machine, one key directory: whichever service starts first makes what is missing.
        await asyncio.to_thread(create_keys, settings.keys_dir, _ISSUERS)
    clock = SystemClock()
    engines = open_engines(lifecycle, settings)
    stores = await open_stores(engines, settings)
    embedder = await _open_embedder(lifecycle, settings, engines)
    reranker = await _open_reranker(lifecycle, settings, clock)
    catalogue = Catalogue(stores.tenants, stores.generations, clock)
    searches = build_searches(settings, stores, catalogue, embedder, reranker, clock)
    shadows = ShadowSearches(searches[0], catalogue, settings.shadow_share)
    servicer = RetrievalServicer(*searches, shadows)
    verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), _ACCEPTED_ISSUERS)
    server = await lifecycle.stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
    retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(servicer, server.grpc)
    lifecycle.create_task(catalogue.keep_current(_REFRESH_SECONDS), "active-generation")
    lifecycle.create_task(shadows.run(), "shadow-searches")
    await server.start(SERVICE)
    await lifecycle.serve_until_signal()


def build_servicer(
    settings: RetrieverSettings,
    stores: Stores,
    catalogue: Catalogue,
    embedder: QueryEmbedder,
    reranker: Reranker | None,
    clock: Clock,
) -> RetrievalServicer:
    """The edge over the use cases over their adapters."""
    return RetrievalServicer(*build_searches(settings, stores, catalogue, embedder, reranker, clock))


def build_searches(
    settings: RetrieverSettings,
    stores: Stores,
    catalogue: Catalogue,
    embedder: QueryEmbedder,
    reranker: Reranker | None,
    clock: Clock,
) -> tuple[SearchPassages, ResolveCitations]:
    """The use cases over their adapters."""
    deadlines = LegDeadlines(
        settings.embed_seconds, settings.vector_seconds, settings.lexical_seconds, settings.graph_seconds
    )
    reads = CorpusReads(stores.heads, stores.chunks, ReadDeadlines(settings.heads_seconds, settings.chunks_seconds))
    legs = Legs(embedder, stores.vectors, stores.lexical, deadlines, HeadChecks(reads, clock).shown)
    feedback = Feedback(stores.vectors, settings.feedback_seconds)
    searches = SearchPassages(catalogue, legs, reads, reranker, search_policy(settings), clock, feedback)
    return searches, ResolveCitations(catalogue, reads, clock)


def search_policy(settings: RetrieverSettings) -> SearchPolicy:
    """What the settings say about searching."""
    adjust = AdjustPolicy(
        freshness_weight=settings.freshness_weight,
        half_life_days=settings.half_life_days_by_type,
        default_half_life_days=settings.default_half_life_days,
        structure_weight=settings.structure_weight,
    )
    ranking = RankingPolicy(
        vector_weight=settings.vector_weight,
        vector_weight_by_type=settings.vector_weight_by_type,
        graph_weight=settings.graph_weight,
        adjust=adjust,
        match_weight=settings.match_weight,
        feedback_weight=settings.feedback_weight,
        rerank_depth=settings.rerank_depth,
        rerank_weight=settings.rerank_weight,
        max_per_document=settings.max_per_document,
    )
    return SearchPolicy(
        ranking=ranking,
        legs=SEARCHING_LEGS | ({Leg.GRAPH} if settings.graph else set()),
        leg_candidates=settings.leg_candidates,
        deepest_candidates=settings.deepest_candidates,
        rerank_seconds=settings.rerank_seconds,
    )


async def open_stores(engines: Engines, settings: RetrieverSettings) -> Stores:
    """What the profile offers for reading."""
    # Searches that come together share one matrix product. More threads for each would take the core from the others
    # and from the embedder: at 16 callers they doubled what a search costs.
    threadpool_limits(limits=1, user_api="blas")
    await engines.prepare({})
    corpus = await engines.stores(writable=False)
    return Stores(
        vectors=corpus.vectors,
        lexical=corpus.lexical,
        heads=engines.served_heads(
            corpus, staleness_seconds=settings.heads_staleness_seconds, max_heads=settings.heads_in_memory
        ),
        chunks=corpus.chunks,
        tenants=corpus.tenants,
        generations=corpus.generations,
    )


async def _open_embedder(lifecycle: Lifecycle, settings: RetrieverSettings, engines: Engines) -> QueryEmbedder:
    cache = engines.cache(settings.query_cache_bytes) if settings.query_cache_bytes else None
    targets = [settings.embedder_target, *filter(None, [settings.shadow_embedder_target])]
    embedders = []
    for target in targets:
        channel = await lifecycle.stack.enter_async_context(open_channel(target, settings=settings))
        stub = EmbeddingServiceStub(channel)
        embedders.append(GrpcQueryEmbedder(stub, settings.embed_seconds, cache, settings.query_cache_seconds))
    return embedders[0] if len(embedders) == 1 else EmbedderWithModel(embedders)


async def _open_reranker(lifecycle: Lifecycle, settings: RetrieverSettings, clock: Clock) -> Reranker | None:
    if not settings.reranker_target:
        return None
    channel = await lifecycle.stack.enter_async_context(open_channel(settings.reranker_target, settings=settings))
    return GrpcReranker(RerankServiceStub(channel), settings.rerank_seconds, clock)
