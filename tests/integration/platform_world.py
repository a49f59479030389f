"""The whole path over the real embedded stores: ingest's use cases write, the retriever's service reads over gRPC, the
gateway's use cases ask. Parser and embedder are played by hand; everything that decides who may read what is real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tests.unit.ingest import world as ingest_world

from chassis.clock import ManualClock
from chassis.eventlog.memory import MemoryEventLog
from chassis.identity import Caller
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import open_channel
from chassis.rpc.server import GrpcServer
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from corpus.adapters.numpy import NumpyVectorIndex
from corpus.adapters.sqlite.change_ledger import SqliteChangeLedger
from corpus.adapters.sqlite.chunk_store import SqliteChunkStore
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.sqlite.embedding_cache import SqliteEmbeddingCache
from corpus.adapters.sqlite.generations import SqliteGenerations
from corpus.adapters.sqlite.heads import SqliteHeads
from corpus.adapters.sqlite.tenants import SqliteTenants
from corpus.adapters.tantivy import TantivyLexicalIndex
from corpus.analysis import analyse
from corpus.domain import Generation
from corpus.engines import open_engines
from gateway.adapters.retriever import GrpcRetrieval, RetrievalDefaults
from gateway.adapters.sqlite_answer_log import SqliteAnswerLog
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.forwarding import CallLimits, ForwardedSearch
from gateway.generators.extractive.generator import ExtractiveGenerator
from gateway.rates import RateLimits, Spending
from gateway.service import AnswerPolicy, AnswerQuestions, ReplayAnswers
from gateway.settings import GatewaySettings
from gateway.stages.context import ContextLimits
from headwater.retrieval.v1 import retrieval_pb2_grpc
from retriever import main as retriever_main
from retriever.catalogue import Catalogue
from retriever.settings import RetrieverSettings

_SECONDS = 20.0
_RATES = RateLimits(dict.fromkeys(Spending, "1000000/second"))


class EmbeddedStores:
    """The writing side's stores on one directory, under the names that ``ingest_world.World`` uses."""

    def __init__(self, directory: Path, clock: ManualClock, stack: AsyncExitStack) -> None:
        self.database = CorpusDatabase(directory / "corpus.sqlite")
        self.tenants = SqliteTenants(self.database)
        self.heads = SqliteHeads(self.database)
        self.chunks = SqliteChunkStore(self.database)
        self.ledger = SqliteChangeLedger(self.database)
        self.generations = SqliteGenerations(self.database)
        self.vectors = NumpyVectorIndex(directory / "index", writable=True)
        self.lexical = TantivyLexicalIndex(directory / "index", writable=True)
        self.cache = SqliteEmbeddingCache(directory / "embeddings.sqlite")
        self.objects = ingest_world.ObjectsInMemory()
        self.log = MemoryEventLog()
        for each in (self.database, self.vectors, self.lexical, self.cache):
            stack.push_async_callback(each.close)


class HandMadeEmbedder:
    """Questions and sentences in the space of the writing side's ``HashEmbedder``; "never" similar by accident."""

    def __init__(self, embedder: ingest_world.HashEmbedder) -> None:
        self._embedder = embedder

    async def embed(self, tenant_id: str, texts: Sequence[str], generation: Generation) -> NDArray[np.float32]:
        return await self._embedder.embed_passages(texts, "r1")


class AgreeableSentences:
    """Finds every sentence as close to the question as it could be, so that words and access alone decide."""

    async def embed(
        self, question: str, sentences: Sequence[str], caller: Caller
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        direction = np.array([1.0, 0.0], dtype=np.float32)
        return direction, np.tile(direction, (len(sentences), 1))

    async def embed_words(self, words: Sequence[str], caller: Caller) -> NDArray[np.float32]:
        return np.tile(np.array([1.0, 0.0], dtype=np.float32), (len(words), 1))


@dataclass
class PlatformWorld:
    """Writing side and the use cases behind the gateway's edge."""

    ingest: ingest_world.World
    clock: ManualClock
    search: ForwardedSearch
    retrieval: GrpcRetrieval
    questions: AnswerQuestions
    answers: ReplayAnswers
    stub: Any


@asynccontextmanager
async def platform_world(directory: Path) -> AsyncIterator[PlatformWorld]:
    """Everything on ``directory``, the retriever behind a real server on a free port."""
    create_keys(directory / "keys", ["gateway", "ingest", "retriever"])
    clock = ManualClock(ingest_world.START)
    settings = RetrieverSettings(data_dir=directory, trace_files=False)
    async with AsyncExitStack() as stack:
        stores = EmbeddedStores(directory, clock, stack)
        writing = ingest_world.World(stores=cast(ingest_world.Stores, stores))
        writing.clock = clock
        await stack.enter_async_context(writing)
        lifecycle = Lifecycle(settings)
        await stack.enter_async_context(lifecycle.stack)
        reading = await retriever_main.open_stores(open_engines(lifecycle, settings), settings)
        catalogue = Catalogue(reading.tenants, reading.generations, clock)
        embedder = HandMadeEmbedder(writing.embedder)
        servicer = retriever_main.build_servicer(settings, reading, catalogue, embedder, None, clock)
        verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), ("gateway",))
        server = await stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
        retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(servicer, server.grpc)
        await server.start(retriever_main.SERVICE)
        channel = open_channel(f"127.0.0.1:{server.port}", settings=GatewaySettings(data_dir=directory))
        await stack.enter_async_context(channel)
        log = SqliteAnswerLog(directory / "answers.sqlite")
        stack.push_async_callback(log.close)
        retrieval = GrpcRetrieval(channel, RetrievalDefaults(12, 5, False, _SECONDS))
        tokens = EstimatingTokenCounter()
        questions = AnswerQuestions(
            retrieval,
            ExtractiveGenerator(AgreeableSentences(), analyse, tokens),
            log,
            tokens,
            clock,
            AnswerPolicy(ContextLimits(3000, 12, False), min_similarity=0.0, min_score=0.0),
            _RATES,
        )
        search = ForwardedSearch(channel, _RATES, CallLimits(_SECONDS, _SECONDS, _SECONDS))
        stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        yield PlatformWorld(
            writing, clock, search, retrieval, questions, ReplayAnswers(log, retrieval, clock, _RATES), stub
        )
        lifecycle.stop()
