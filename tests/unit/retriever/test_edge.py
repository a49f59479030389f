"""The gRPC edge and the peers, over real sockets."""

# ruff: noqa: N802 - methods of servicers have the names of their RPCs

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, struct_pb2
from tests.unit.retriever.fakes import ANN, GENERATION, TENANT, World

from chassis.cache.memory import MemoryCache
from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, FailedPrecondition, InvalidRequest
from chassis.identity import acting_as, current_caller
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import call, open_channel
from chassis.rpc.server import GrpcServer
from chassis.settings import ServiceSettings
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from corpus.domain import HeadState
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from headwater.rerank.v1 import rerank_pb2, rerank_pb2_grpc
from headwater.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from retriever.adapters.embedder import GrpcQueryEmbedder
from retriever.adapters.reranker import GrpcReranker
from retriever.ports import Passage
from retriever.servicer import RetrievalServicer
from retriever.settings import RetrieverSettings


class GatewaySettings(ServiceSettings):
    service_name = "gateway"


@dataclass
class Embedder(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers as the service does, with vectors that tell the texts apart."""

    revision: str = "r1"
    requests: list[embedding_pb2.EmbedRequest] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)

    async def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> embedding_pb2.EmbedResponse:
        self.requests.append(request)
        self.tenants.append(current_caller().tenant_id)
        rows = np.array([[len(text), 1, 0, 0] for text in request.texts], "<f4")
        return embedding_pb2.EmbedResponse(vectors=rows.tobytes(), dimensions=4, model_revision=self.revision)

    async def GetModelInfo(self, request: Any, context: Any) -> embedding_pb2.GetModelInfoResponse:
        return embedding_pb2.GetModelInfoResponse()


@dataclass
class RerankerPeer(rerank_pb2_grpc.RerankServiceServicer):
    """Scores by length, recommends itself when told to."""

    recommended: bool = False
    infos: int = 0
    forget: int = 0

    async def Rerank(self, request: rerank_pb2.RerankRequest, context: Any) -> rerank_pb2.RerankResponse:
        scores = [float(len(passage.text)) for passage in request.passages]
        return rerank_pb2.RerankResponse(scores=scores[self.forget :])

    async def GetRerankerInfo(self, request: Any, context: Any) -> rerank_pb2.GetRerankerInfoResponse:
        self.infos += 1
        return rerank_pb2.GetRerankerInfoResponse(recommended=self.recommended)


@dataclass
class Running:
    world: World
    embedder: Embedder
    reranker: RerankerPeer
    stub: Any
    embedding_stub: Any
    rerank_stub: Any


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    create_keys(tmp_path / "keys", ["gateway", "retriever"])
    settings = RetrieverSettings(data_dir=tmp_path)
    world, embedder, reranker = World(), Embedder(), RerankerPeer()
    lifecycle = Lifecycle(settings)
    async with lifecycle.stack as stack, AsyncExitStack() as channels:
        verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), {"gateway"})
        server = await stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
        servicer = RetrievalServicer(world.searches(), world.citations())
        retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(servicer, server.grpc)
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(embedder, server.grpc)
        rerank_pb2_grpc.add_RerankServiceServicer_to_server(reranker, server.grpc)
        await server.start("headwater.retrieval.v1.RetrievalService")
        channel = open_channel(f"127.0.0.1:{server.port}", settings=GatewaySettings(data_dir=tmp_path))
        await channels.enter_async_context(channel)
        yield Running(
            world,
            embedder,
            reranker,
            retrieval_pb2_grpc.RetrievalServiceStub(channel),
            embedding_pb2_grpc.EmbeddingServiceStub(channel),
            rerank_pb2_grpc.RerankServiceStub(channel),
        )
        lifecycle.stop()


def query(**fields: Any) -> retrieval_pb2.SearchQuery:
    return retrieval_pb2.SearchQuery(**{"text": "how", "k": 5, **fields})


async def search(running: Running, **fields: Any) -> retrieval_pb2.SearchResult:
    request = retrieval_pb2.SearchRequest(query=query(**fields))
    return (await call(running.stub.Search, request, timeout_seconds=5, as_caller=ANN)).result


async def test_a_hit_crosses_the_wire_with_everything_it_has(running: Running):
    world = running.world
    world.add("guide", vector=0.9, lexical=5.0, text="Turn the valve.")
    moment = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    metadata = {"year": 2026.0, "draft": False, "tags": ("a", "b"), "since": moment}
    world.chunks.by_id["guide#0"] = replace(world.chunks.by_id["guide#0"], metadata=metadata, uri="file:guide")
    result = await search(running, explain=True, expansion=retrieval_pb2.EXPANSION_SECTION)
    (hit,) = result.hits
    assert (hit.document_id, hit.chunk_id, hit.chunks_version, hit.document_version) == ("guide", "guide#0", 2, 3)
    assert (hit.text, hit.title, hit.uri, hit.ingest_trace_id) == (
        "Turn the valve.",
        "Title guide",
        "file:guide",
        "a" * 32,
    )
    assert list(hit.location.heading_path) == ["Guide"]
    assert (hit.location.span.start, hit.location.span.end) == (0, 15)
    assert hit.score == 1.0
    assert hit.similarity == 0.9
    assert hit.section.text == "section of guide"
    assert json_format.MessageToDict(hit.metadata) == {
        "year": 2026.0,
        "draft": False,
        "tags": ["a", "b"],
        "since": "2026-03-01T09:30:00+00:00",
    }
    assert [leg.leg for leg in hit.explanation.legs] == ["vector", "lexical"]
    assert not hit.explanation.HasField("rerank")
    assert result.generation == "g1"
    assert "heads" in [timing.stage for timing in result.timings]


async def test_a_nested_filter_reaches_the_legs(running: Running):
    struct = struct_pb2.Struct()
    struct.update({"$or": [{"year": {"$gte": 2024}}, {"language": {"$in": ["python", "go"]}}]})
    await search(running, filter=struct)
    (prefilter,) = running.world.lexical.prefilters
    assert prefilter.filter is not None
    assert prefilter.filter.matches({"year": 2025.0})
    assert prefilter.filter.matches({"language": "go"})
    assert not prefilter.filter.matches({"year": 2020.0, "language": "java"})


async def test_a_vector_weight_of_zero_is_not_the_same_as_none(running: Running):
    running.world.add("one", vector=0.9, lexical=1.0)
    running.world.add("two", vector=0.1, lexical=9.0)
    assert (await search(running, vector_weight=0.0)).hits[0].document_id == "two"
    assert (await search(running, vector_weight=1.0)).hits[0].document_id == "one"


async def test_errors_arrive_with_their_reason(running: Running):
    with pytest.raises(InvalidRequest) as raised:
        await search(running, k=0)
    assert raised.value.reason == "INVALID_K"
    with pytest.raises(InvalidRequest) as raised:
        await search(running, rerank=99)
    assert raised.value.reason == "UNKNOWN_ENUM_VALUE"


async def test_a_batch_answers_in_the_order_of_its_queries(running: Running):
    running.world.add("one", vector=0.9, lexical=1.0)
    running.world.add("two", vector=0.1, lexical=9.0)
    request = retrieval_pb2.SearchBatchRequest(queries=[query(vector_weight=0.0), query(vector_weight=1.0)])
    response = await call(running.stub.SearchBatch, request, timeout_seconds=5, as_caller=ANN)
    assert [result.hits[0].document_id for result in response.results] == ["two", "one"]


async def test_an_unreadable_citation_is_its_key_and_nothing_else(running: Running):
    world = running.world
    world.add("open", vector=0.9)
    world.add("gone", vector=0.8, state=HeadState.DELETED)
    keys = [
        retrieval_pb2.CitationKey(document_id=name, chunks_version=2, chunk_id=f"{name}#0")
        for name in ("open", "gone", "never")
    ]
    request = retrieval_pb2.ResolveCitationsRequest(keys=keys)
    response = await call(running.stub.ResolveCitations, request, timeout_seconds=5, as_caller=ANN)
    opened, gone, never = response.citations
    assert (opened.readable, opened.text, opened.title) == (True, "passage open#0", "Title open")
    assert gone == retrieval_pb2.ResolvedCitation(key=keys[1])
    assert never == retrieval_pb2.ResolvedCitation(key=keys[2])


async def test_questions_are_embedded_once_each_in_the_caller_s_name_and_remembered(running: Running):
    embedder = GrpcQueryEmbedder(running.embedding_stub, 5.0, MemoryCache(1 << 20), 60.0)
    with acting_as(ANN):
        first = await embedder.embed(TENANT, ["a", "bbb"], GENERATION)
        second = await embedder.embed(TENANT, ["bbb", "cc"], GENERATION)
        await embedder.embed("other", ["a"], GENERATION)
    assert first[:, 0].tolist() == [1.0, 3.0]
    assert second[:, 0].tolist() == [3.0, 2.0]
    assert [list(request.texts) for request in running.embedder.requests] == [["a", "bbb"], ["cc"], ["a"]]
    assert running.embedder.tenants == [TENANT] * 3
    request = running.embedder.requests[0]
    assert request.kind == embedding_pb2.TEXT_KIND_QUERY
    assert request.expected_model_revision == "r1"


@pytest.mark.parametrize("cache", [None, MemoryCache(1 << 20)])
async def test_vectors_of_another_model_are_refused_and_not_remembered(running: Running, cache: MemoryCache | None):
    embedder = GrpcQueryEmbedder(running.embedding_stub, 5.0, cache, 60.0)
    running.embedder.revision = "r2"
    for _ in range(2):
        with acting_as(ANN), pytest.raises(FailedPrecondition) as raised:
            await embedder.embed(TENANT, ["a"], GENERATION)
        assert raised.value.reason == "MODEL_MISMATCH"


async def test_what_was_remembered_of_another_model_is_not_taken(running: Running):
    embedder = GrpcQueryEmbedder(running.embedding_stub, 5.0, MemoryCache(1 << 20), 60.0)
    with acting_as(ANN):
        await embedder.embed(TENANT, ["a"], GENERATION)
        running.embedder.revision = "r2"
        await embedder.embed(TENANT, ["a"], replace(GENERATION, model_revision="r2"))
    assert [request.expected_model_revision for request in running.embedder.requests] == ["r1", "r2"]


async def test_vectors_of_the_wrong_size_are_refused(running: Running):
    embedder = GrpcQueryEmbedder(running.embedding_stub, 5.0, None, 60.0)
    with acting_as(ANN), pytest.raises(FailedPrecondition):
        await embedder.embed(TENANT, ["a"], replace(GENERATION, dimensions=8))


async def test_the_reranker_scores_passages_in_their_order(running: Running):
    reranker = GrpcReranker(running.rerank_stub, 5.0, ManualClock())
    passages = [Passage("1", "long text"), Passage("2", "text")]
    with acting_as(ANN):
        assert await reranker.score("how", passages) == [9.0, 4.0]
        running.reranker.forget = 1
        with pytest.raises(DependencyUnavailable):
            await reranker.score("how", passages)


async def test_the_reranker_s_recommendation_is_asked_for_once_in_a_while(running: Running):
    clock = ManualClock()
    reranker = GrpcReranker(running.rerank_stub, 5.0, clock)
    with acting_as(ANN):
        assert not await reranker.recommended()
        running.reranker.recommended = True
        assert not await reranker.recommended()
        assert running.reranker.infos == 1
        clock.advance(31)
        assert await reranker.recommended()


async def test_a_reranker_that_cannot_be_reached_is_not_recommended(tmp_path: Path):
    create_keys(tmp_path / "keys", ["retriever"])
    # Port 1 is reserved and nothing listens there.
    async with open_channel("127.0.0.1:1", settings=RetrieverSettings(data_dir=tmp_path)) as channel:
        reranker = GrpcReranker(rerank_pb2_grpc.RerankServiceStub(channel), 5.0, ManualClock())
        with acting_as(ANN):
            assert not await reranker.recommended()


async def test_a_large_reply_is_the_same_as_a_small_one(running: Running):
    for number in range(100):
        running.world.add(f"d{number:03}", vector=0.9 - number / 200, lexical=9.0 - number / 20)
    large = await search(running, k=100)
    small = await search(running, k=5)
    assert [hit.document_id for hit in large.hits] == [f"d{number:03}" for number in range(100)]
    assert list(large.hits[:5]) == list(small.hits)
