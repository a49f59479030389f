"""Composition root of the reranker."""

from __future__ import annotations

import asyncio
from typing import Final

from chassis.lifecycle import Lifecycle
from chassis.rpc.server import GrpcServer
from chassis.telemetry import logger
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from headwater.rerank.v1 import rerank_pb2_grpc
from reranker.adapters.loading import open_scorer
from reranker.service import RankPassages
from reranker.servicer import RerankServicer
from reranker.settings import RerankerSettings

SERVICE: Final = "headwater.rerank.v1.RerankService"
CALLERS: Final = ("gateway", "ingest", "retriever")

_log = logger("reranker")


async def serve(lifecycle: Lifecycle, settings: RerankerSettings) -> None:
    """Runs the reranker until told to stop."""
    if settings.profile == "embedded":
        # One machine, one key directory: whichever service starts first makes what is missing.
        await asyncio.to_thread(create_keys, settings.keys_dir, CALLERS)
    verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), CALLERS)
    scorer = await open_scorer(settings, lifecycle.stack)
    info = scorer.info
    _log.info(
        "model loaded",
        model=info.model_id,
        revision=info.model_revision,
        method=str(info.method),
        recommended=info.recommendation.recommended,
    )
    server = await lifecycle.stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
    servicer = RerankServicer(RankPassages(scorer, max_passages=settings.max_passages))
    rerank_pb2_grpc.add_RerankServiceServicer_to_server(servicer, server.grpc)
    await server.start(SERVICE)
    await lifecycle.serve_until_signal()
