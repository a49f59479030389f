"""``python -m bench.answer_cache [--rounds N] [--json]``: how long an answer from the cache of similar questions takes.

The whole way of a question through the gateway's use case: guardrail, understanding, signature, its vector, the lookup,
the check of every citation, and the answer log. Embedder and retriever stand behind gRPC on loopback in this process:
the first runs the default model, the second the real check of heads and rights over SQLite. Each round asks a
paraphrase that is new to the cache of the same words, so that the vector is needed every time. ``question_cpu`` is what
all threads of this process worked for one question: what it would take on a machine with nothing else to do, about.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from bench import machine
from chassis.cache.memory import MemoryCache
from chassis.clock import SystemClock
from chassis.identity import Caller
from chassis.rpc.client import open_channel
from chassis.tokens import create_keys
from corpus.access import access_tokens
from corpus.adapters.sqlite.chunk_store import SqliteChunkStore
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.sqlite.generations import SqliteGenerations
from corpus.adapters.sqlite.heads import SqliteHeads
from corpus.adapters.sqlite.tenants import SqliteTenants
from corpus.analysis import analyse
from corpus.domain import (
    AccessPolicy,
    Chunk,
    ChunkedDocument,
    DocumentKey,
    Generation,
    Head,
    HeadState,
    Section,
)
from corpus.ids import chunk_id
from gateway.adapters.embedder import GrpcSentenceEmbedder
from gateway.adapters.retriever import GrpcRetrieval, RetrievalDefaults, described_query
from gateway.adapters.sqlite_answer_log import SqliteAnswerLog
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import (
    AnswerReady,
    Citation,
    CitationKey,
    Draft,
    Outcome,
    Place,
    Question,
    Retrieved,
    Span,
    StageFinished,
    Usage,
)
from gateway.generators.extractive.generator import ExtractiveGenerator
from gateway.plan import Plan
from gateway.ports import UnderstandingRequest
from gateway.rates import RateLimits, Spending
from gateway.service import AnswerPolicy, AnswerQuestions
from gateway.settings import GatewaySettings
from gateway.stages.cache.answers import AnswerCache, CachePolicy
from gateway.stages.context import ContextLimits
from gateway.stages.guard.question import QuestionGuard
from gateway.stages.guard.rails import Guardrails
from gateway.understanding import build_planner
from headwater.embedding.v1 import embedding_pb2
from headwater.retrieval.v1 import retrieval_pb2
from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.model import DEFAULT_MODEL
from retriever.catalogue import Catalogue
from retriever.citations import ResolveCitations
from retriever.messages import citation_key_of, citation_message
from retriever.reads import CorpusReads, ReadDeadlines

_CALLER: Final = Caller("bench", "reader", frozenset({"readers"}))
_ASKED: Final = "How long are raw readings of sensor {number} kept on the Standard plan?"
_ALIKE: Final = "For how long are raw readings of sensor {number} kept on the Standard plan?"
_TEXT: Final = "Raw readings are kept for 400 days on the Standard plan."
_DOCUMENTS: Final = 5
_WARM_UP: Final = 20


def _served(encoder: TextEncoder, citations: ResolveCitations) -> tuple[grpc.GenericRpcHandler, ...]:
    """The two methods that a hit calls."""

    async def embed(request: embedding_pb2.EmbedRequest, context: Any) -> embedding_pb2.EmbedResponse:
        encoded = await asyncio.to_thread(encoder.encode, list(request.texts), TextKind.QUERY)
        vectors = np.ascontiguousarray(encoded.vectors, "<f4")
        return embedding_pb2.EmbedResponse(
            vectors=vectors.tobytes(), dimensions=vectors.shape[1], model_id=DEFAULT_MODEL, model_revision="bench"
        )

    async def resolve(
        request: retrieval_pb2.ResolveCitationsRequest, context: Any
    ) -> retrieval_pb2.ResolveCitationsResponse:
        resolution = await citations.resolution(_CALLER, [citation_key_of(key) for key in request.keys])
        return retrieval_pb2.ResolveCitationsResponse(
            citations=[citation_message(citation) for citation in resolution.citations],
            access_fingerprint=resolution.access_fingerprint,
            generation=resolution.generation,
        )

    embedding = grpc.unary_unary_rpc_method_handler(
        embed, embedding_pb2.EmbedRequest.FromString, embedding_pb2.EmbedResponse.SerializeToString
    )
    resolving = grpc.unary_unary_rpc_method_handler(
        resolve,
        retrieval_pb2.ResolveCitationsRequest.FromString,
        retrieval_pb2.ResolveCitationsResponse.SerializeToString,
    )
    return (
        grpc.method_handlers_generic_handler("headwater.embedding.v1.EmbeddingService", {"Embed": embedding}),
        grpc.method_handlers_generic_handler(
            "headwater.retrieval.v1.RetrievalService", {"ResolveCitations": resolving}
        ),
    )


async def _filled(database: CorpusDatabase) -> list[Citation]:
    """Documents that the reader may read, and citations of them."""
    now = datetime.now(UTC)
    await SqliteGenerations(database).activate(Generation("g1", DEFAULT_MODEL, "bench", 384, "c1", "a1"))
    await SqliteTenants(database).create(_CALLER.tenant_id, {}, at=now)
    policy = AccessPolicy(access_tokens(_CALLER.tenant_id, ["group:readers"]))
    citations = []
    for number in range(1, _DOCUMENTS + 1):
        key = DocumentKey(_CALLER.tenant_id, f"document-{number}")
        name = chunk_id(key.tenant_id, key.document_id, 1, 0, "g1")
        chunk = Chunk(name, key, 1, 0, "g1", _TEXT, 0, len(_TEXT), 0, ())
        section = Section(0, (), 0, len(_TEXT), _TEXT)
        await SqliteChunkStore(database).put(
            ChunkedDocument(key, 1, "g1", key.document_id, "text", "", "en", {}, now, [section], [chunk])
        )
        await SqliteHeads(database).put(Head(key, 1, 1, HeadState.LIVE, policy, "g1", f"e-{number}", now))
        place = Place(span=Span(0, len(_TEXT)))
        citations.append(Citation(number, CitationKey(key.document_id, 1, name), key.document_id, "", place, _TEXT))
    return citations


async def _channel(
    stack: AsyncExitStack, encoder: TextEncoder, citations: ResolveCitations, settings: GatewaySettings
) -> grpc.aio.Channel:
    create_keys(settings.keys_dir, ("gateway",))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(_served(encoder, citations))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, 0)
    return await stack.enter_async_context(open_channel(f"127.0.0.1:{port}", settings=settings))


async def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """Milliseconds of a hit, as a whole and of the stage alone."""
    settings = GatewaySettings(data_dir=folder)
    async with AsyncExitStack() as stack:
        database, log = CorpusDatabase(folder / "corpus.sqlite"), SqliteAnswerLog(folder / "answers.sqlite")
        stack.push_async_callback(database.close)
        stack.push_async_callback(log.close)
        cited, clock = await _filled(database), SystemClock()
        reads = CorpusReads(SqliteHeads(database), SqliteChunkStore(database), ReadDeadlines())
        catalogue = Catalogue(SqliteTenants(database), SqliteGenerations(database), clock)
        encoder = TextEncoder.load(DEFAULT_MODEL, threads=1)
        channel = await _channel(stack, encoder, ResolveCitations(catalogue, reads, clock), settings)
        retrieval = GrpcRetrieval(channel, RetrievalDefaults(12, 5, sections=False, timeout_seconds=5.0))
        embedder = GrpcSentenceEmbedder(channel, timeout_seconds=5.0, cache_bytes=0)
        kept = CachePolicy(True, True, settings.cache_similarity, 3600.0, "bench", patience_seconds=5.0)
        cache = AnswerCache(MemoryCache(settings.cache_bytes), retrieval, embedder, clock, kept, described_query)
        planner, tokens = build_planner(settings, analyse), EstimatingTokenCounter()
        questions = AnswerQuestions(
            retrieval,
            ExtractiveGenerator(embedder, analyse, tokens),
            log,
            tokens,
            clock,
            AnswerPolicy(ContextLimits(3000, 12, sections=False)),
            RateLimits(dict.fromkeys(Spending, "1000000/second")),
            planner,
            guardrails=Guardrails(QuestionGuard(settings.guard_question_score)),
            cache=cache,
        )
        draft = Draft(Outcome.ANSWERED, f"{_TEXT} [1]", 0.9, tuple(cited), Usage(900, 1000, 40))
        whole, stage, worked = [], [], []
        for number in range(rounds + _WARM_UP):
            asked = Question(_ASKED.format(number=number))
            plan: Plan = await planner.plan(UnderstandingRequest(asked, _CALLER, clock.now()))
            await cache.keep(asked, plan, _CALLER, draft, Retrieved((), generation="g1"))
            began = time.process_time()
            took = await _ask(questions, Question(_ALIKE.format(number=number)))
            if number >= _WARM_UP:
                whole.append(took[0])
                stage.append(took[1])
                worked.append((time.process_time() - began) * 1000)
        figures = {"question": whole, "stage": stage, "question_cpu": worked}
        return {"rounds": rounds} | {name: _percentiles(values) for name, values in figures.items()}


async def _ask(questions: AnswerQuestions, question: Question) -> tuple[float, float]:
    started, stage, text = time.perf_counter(), 0.0, ""
    async with aclosing(questions.ask(question, _CALLER)) as events:
        async for event in events:
            if isinstance(event, StageFinished) and event.timing.stage == "cache":
                stage = event.timing.milliseconds
            elif isinstance(event, AnswerReady):
                text = event.answer.text
    if not text.startswith(_TEXT):
        raise AssertionError("a question that should be answered from the cache was not")
    return (time.perf_counter() - started) * 1000, stage


def _percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    return {f"p{share}_ms": round(float(np.percentile(milliseconds, share)), 2) for share in (10, 50, 95)}


def main() -> int:
    """Prints the figures; 1 when the median of a whole question is over 10 ms."""
    parser = argparse.ArgumentParser(prog="python -m bench.answer_cache", description="Time of a semantic hit.")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(arguments.rounds, Path(folder)))
    print(json.dumps(figures | {"machine": machine.describe()}, indent=2) if arguments.json else figures)
    return int(figures["question"]["p50_ms"] > 10.0)


if __name__ == "__main__":
    sys.exit(main())
