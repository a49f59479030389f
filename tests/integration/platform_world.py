"""The whole path over the real stores: ingest's use cases write, the retriever reads, the gateway asks, each behind a
real server, with every cache that the profile has. Parser and models are played by hand; everything that decides who
may read what is real."""

# ruff: noqa: N802 - gRPC names its methods

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import grpc
import httpx
import numpy as np
from numpy.typing import NDArray
from tests.integration.doors import Badges, Doors
from tests.unit.ingest import world as ingest_world

from chassis.cache.memory import MemoryCache
from chassis.clock import ManualClock
from chassis.eventlog.memory import MemoryEventLog
from chassis.eventlog.port import EventLog
from chassis.identity import Caller
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import open_channel
from chassis.rpc.server import GrpcServer
from chassis.settings import read_settings
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from corpus.analysis import analyse
from corpus.engines import CorpusStores, open_engines
from gateway.adapters.embedder import GrpcSentenceEmbedder
from gateway.adapters.sqlite_answer_log import SqliteAnswerLog
from gateway.adapters.sqlite_feedback import SqliteFeedback
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.generators.extractive.generator import ExtractiveGenerator
from gateway.http.app import build_app
from gateway.http.guard import HttpLimits
from gateway.http.identity import HttpIdentity
from gateway.main import SERVICE, build_use_cases
from gateway.parts import Channels
from gateway.servicer import GatewayServicer
from gateway.settings import GatewaySettings
from gateway.use_cases import UseCases
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from headwater.gateway.v1 import gateway_pb2_grpc
from headwater.ingest.v1 import ingest_pb2_grpc
from headwater.retrieval.v1 import retrieval_pb2_grpc
from ingest.refusals import open_changes
from ingest.servicer import IngestServicer
from ingest.settings import IngestSettings
from retriever import main as retriever_main
from retriever.adapters.embedder import GrpcQueryEmbedder
from retriever.catalogue import Catalogue
from retriever.settings import RetrieverSettings

_MANY = "1000000/second"
_CACHE_BYTES = 16 * 1024 * 1024
_SERVICES = ("gateway", "ingest", "retriever")


class WorkerStores:
    """The writing side's stores, under the names that ``ingest_world.World`` uses."""

    def __init__(self, corpus: CorpusStores, cache: Any, objects: Any, log: EventLog) -> None:
        for part in fields(corpus):
            setattr(self, part.name, getattr(corpus, part.name))
        self.cache, self.objects, self.log = cache, objects, log


@dataclass
class HandMadeModel(embedding_pb2_grpc.EmbeddingServiceServicer):
    """An embedding service over a function of texts."""

    vectors: Callable[[Sequence[str]], Awaitable[NDArray[np.float32]]]
    revision: str
    asked: int = 0

    async def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> embedding_pb2.EmbedResponse:
        self.asked += len(request.texts)
        found = await self.vectors(list(request.texts))
        return embedding_pb2.EmbedResponse(
            vectors=found.astype("<f4").tobytes(), dimensions=found.shape[1], model_revision=self.revision
        )

    async def GetModelInfo(
        self, request: embedding_pb2.GetModelInfoRequest, context: Any
    ) -> embedding_pb2.GetModelInfoResponse:
        return embedding_pb2.GetModelInfoResponse(model_revision=self.revision)


async def _agreeable(texts: Sequence[str]) -> NDArray[np.float32]:
    """Finds every sentence as close to the question as it could be, so that words and access alone decide."""
    return np.tile(np.array([1.0, 0.0], dtype=np.float32), (len(texts), 1))


class _AnyService:
    async def authenticate(self, metadata: Mapping[str, str | bytes]) -> Caller:
        return Caller("services", "service")


@dataclass
class PlatformWorld:
    """Writing side, the use cases behind the gateway's edges, and the edges."""

    ingest: ingest_world.World
    corpus: CorpusStores
    clock: ManualClock
    use_cases: UseCases
    doors: Doors
    stub: Any
    """Of the retriever, for what the gateway asks it."""
    settle: Callable[[], Awaitable[None]]
    """Returns when readers see what was written before."""
    models: tuple[HandMadeModel, HandMadeModel]

    @property
    def search(self) -> Any:
        return self.use_cases.search


@asynccontextmanager
async def platform_world(directory: Path, chosen: Mapping[str, str] | None = None) -> AsyncIterator[PlatformWorld]:
    """Everything on ``directory``, or on the servers that ``chosen`` leads to; every server on a free port."""
    chosen = chosen or {}
    create_keys(directory / "keys", _SERVICES)
    clock = ManualClock(ingest_world.START)
    with patch.dict(os.environ, {**chosen, "HEADWATER_DATA_DIR": str(directory), "HEADWATER_TRACE_FILES": "false"}):
        writes, reads = read_settings(IngestSettings), read_settings(RetrieverSettings)
    rates = dict.fromkeys(("rate_ask", "rate_search", "rate_write", "rate_read"), _MANY)
    asks = GatewaySettings(data_dir=directory, development=False, trace_files=False, **rates)  # type: ignore[arg-type]
    async with AsyncExitStack() as stack:
        lifecycle = Lifecycle(reads)
        stack.callback(lifecycle.stop)
        await stack.enter_async_context(lifecycle.stack)
        writing, corpus = await _writing_side(stack, lifecycle, writes, clock, bool(chosen))
        numbers = HandMadeModel(lambda texts: writing.embedder.embed_passages(texts, "r1"), "r1")
        words = HandMadeModel(_agreeable, "r2")
        stores = await retriever_main.open_stores(open_engines(lifecycle, reads), reads)
        target = await _serve(stack, lifecycle, reads, writing, corpus, stores, numbers, clock)
        log = SqliteAnswerLog(directory / "answers.sqlite")
        stack.push_async_callback(log.close)
        feedback = SqliteFeedback(directory / "answers.sqlite")
        stack.push_async_callback(feedback.close)
        retriever, ingest = [await stack.enter_async_context(open_channel(target, settings=asks)) for _ in range(2)]
        embedder = await _channel_to(stack, lifecycle, asks, words)
        sentences = GrpcSentenceEmbedder(embedder, timeout_seconds=20.0, cache_bytes=_CACHE_BYTES)
        generator = ExtractiveGenerator(sentences, analyse, EstimatingTokenCounter())
        use_cases = build_use_cases(
            asks, Channels(retriever, embedder, ingest), log, clock, generator, feedback=feedback
        )
        doors = await _doors(stack, asks, use_cases)
        stub = retrieval_pb2_grpc.RetrievalServiceStub(retriever)
        settle = _refreshed if chosen else _at_once
        yield PlatformWorld(writing, corpus, clock, use_cases, doors, stub, settle, (numbers, words))


async def _at_once() -> None:
    """The embedded authority is the file that was written."""


async def _refreshed() -> None:
    """The indexes of the cluster refresh every second, and a replica is at most half a second behind."""
    await asyncio.sleep(1.5)


async def _writing_side(
    stack: AsyncExitStack, lifecycle: Lifecycle, settings: IngestSettings, clock: ManualClock, cluster: bool
) -> tuple[ingest_world.World, CorpusStores]:
    engines = open_engines(lifecycle, settings)
    corpus = await engines.stores(writable=True)
    log = engines.event_log() if cluster else MemoryEventLog()
    stores = WorkerStores(corpus, engines.embedding_cache(), ingest_world.ObjectsInMemory(), log)
    writing = ingest_world.World(stores=cast(ingest_world.Stores, stores), clock=clock, partitions=settings.partitions)
    return await stack.enter_async_context(writing), corpus


async def _serve(
    stack: AsyncExitStack,
    lifecycle: Lifecycle,
    settings: RetrieverSettings,
    writing: ingest_world.World,
    corpus: CorpusStores,
    stores: Any,
    numbers: HandMadeModel,
    clock: ManualClock,
) -> str:
    """Retriever and ingest service in one server, whose address is returned."""
    channel = await _channel_to(stack, lifecycle, settings, numbers)
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    embedder = GrpcQueryEmbedder(cast(Any, stub), 20.0, MemoryCache(_CACHE_BYTES), 600.0)
    catalogue = Catalogue(stores.tenants, stores.generations, clock)
    servicer = retriever_main.build_servicer(settings, stores, catalogue, embedder, None, clock)
    documents = IngestServicer(
        writing.accept, writing.look, open_changes(corpus, clock), writing.manage, corpus.tenants
    )
    verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), ("gateway",))
    server = await stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
    retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(servicer, server.grpc)
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(documents, server.grpc)
    await server.start(retriever_main.SERVICE)
    return f"127.0.0.1:{server.port}"


async def _channel_to(
    stack: AsyncExitStack, lifecycle: Lifecycle, settings: Any, model: HandMadeModel
) -> grpc.aio.Channel:
    server = await stack.enter_async_context(GrpcServer(settings, Lifecycle(settings), _AnyService()))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(model, server.grpc)
    await server.start()
    return await stack.enter_async_context(open_channel(f"127.0.0.1:{server.port}", settings=settings))


async def _doors(stack: AsyncExitStack, settings: GatewaySettings, use_cases: UseCases) -> Doors:
    badges = Badges()
    server = await stack.enter_async_context(GrpcServer(settings, Lifecycle(settings), badges))
    servicer = GatewayServicer(
        use_cases.questions,
        use_cases.answers,
        use_cases.feedback,
        use_cases.search,
        use_cases.documents,
        ask_seconds=30,
    )
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(servicer, server.grpc)
    await server.start(SERVICE)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{server.port}"))
    limits = HttpLimits(settings.max_body_bytes, 1_000_000, 30.0, 30.0, 30.0)
    identity = HttpIdentity(cast(Any, badges), development=False)
    app = build_app(use_cases, identity, limits, server.admission)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
    http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"))
    return Doors(badges, gateway_pb2_grpc.GatewayServiceStub(channel), http)
