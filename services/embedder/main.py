"""Composition root of the embedder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from chassis.lifecycle import Lifecycle
from chassis.rpc.server import GrpcServer
from chassis.telemetry import logger
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from embedder.adapters.local_engine import open_local_engine
from embedder.ports import Engine
from embedder.service import EmbedTexts
from embedder.servicer import EmbeddingServicer
from embedder.settings import EmbedderSettings
from headwater.embedding.v1 import embedding_pb2_grpc

SERVICE: Final = "headwater.embedding.v1.EmbeddingService"
CALLERS: Final = ("gateway", "ingest", "retriever")

OpenEngine = Callable[[EmbedderSettings], Awaitable[Engine]]

_log = logger("embedder")


async def serve(lifecycle: Lifecycle, settings: EmbedderSettings, open_engine: OpenEngine = open_local_engine) -> None:
    """Runs the embedder until told to stop."""
    if settings.profile == "embedded":
        # One machine, one key directory: whichever service starts first makes what is missing.
        await asyncio.to_thread(create_keys, settings.keys_dir, CALLERS)
    verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), CALLERS)
    engine = await open_engine(settings)
    lifecycle.stack.push_async_callback(engine.close)
    info = engine.info
    _log.info("model loaded", model=info.model_id, revision=info.revision, runtime=info.runtime)
    server = await lifecycle.stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
    servicer = EmbeddingServicer(EmbedTexts(engine, max_texts=settings.max_texts))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server.grpc)
    await server.start(SERVICE)
    await lifecycle.serve_until_signal()
