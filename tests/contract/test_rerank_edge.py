"""What callers of the reranker may rely on, whichever edge answers: a plain gRPC server or Ray Serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from tests.servers.encoders import CALLER, Edge, running
from tests.unit.inference.tiny_models import make_tiny_model

from chassis.errors import InvalidRequest, Unauthenticated
from chassis.identity import Caller
from chassis.rpc.client import call
from headwater.rerank.v1 import rerank_pb2, rerank_pb2_grpc

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("rerank-edge")]

PASSAGES = {"1": "the cat sat on the mat", "2": "the river runs down to the sea"}


@pytest.fixture(scope="module", params=["plain", pytest.param("ray", marks=pytest.mark.ray)])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    directory = tmp_path_factory.mktemp(request.param)
    settings = {
        "HEADWATER_MODEL_CACHE": str(directory / "cache"),
        "HEADWATER_RERANKER_MODEL": str(make_tiny_model(directory / "tiny").path),
        "HEADWATER_RERANKER_RUNTIME": "onnxruntime-fp32",
        "HEADWATER_RERANKER_THREADS": "1",
    }
    command = ["-m", "reranker" if request.param == "plain" else "reranker.serve_app"]
    with running(request.param, directory, command, settings, ask_for_the_model) as started:
        yield started


async def ask_for_the_model(channel: grpc.aio.Channel) -> rerank_pb2.GetRerankerInfoResponse:
    stub: Any = rerank_pb2_grpc.RerankServiceStub(channel)
    return await call(stub.GetRerankerInfo, rerank_pb2.GetRerankerInfoRequest(), timeout_seconds=10, as_caller=CALLER)


@pytest.fixture
async def stub(edge: Edge) -> AsyncIterator[Any]:
    async with edge.channel() as channel:
        yield rerank_pb2_grpc.RerankServiceStub(channel)


async def rerank(stub: Any, query: str, as_caller: Caller | None = CALLER) -> rerank_pb2.RerankResponse:
    passages = [rerank_pb2.Passage(chunk_id=name, text=text) for name, text in PASSAGES.items()]
    request = rerank_pb2.RerankRequest(query=query, passages=passages)
    return await call(stub.Rerank, request, timeout_seconds=60, as_caller=as_caller)


async def test_a_passage_that_says_the_same_scores_best_and_is_remembered(stub: Any) -> None:
    first = await rerank(stub, PASSAGES["1"])
    assert first.scores[0] > first.scores[1]
    again = await rerank(stub, PASSAGES["1"])
    assert list(again.scores) == pytest.approx(list(first.scores))
    assert again.cache_hits == len(PASSAGES)


async def test_refusals_keep_their_reason(stub: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await rerank(stub, " ")
    assert refused.value.reason == "EMPTY_QUERY"
    with pytest.raises(Unauthenticated):
        await rerank(stub, "the cat", as_caller=None)


async def test_the_model_describes_itself(edge: Edge) -> None:
    async with edge.channel() as channel:
        info = await ask_for_the_model(channel)
    assert (info.model_id, info.method) == ("tiny", "late-interaction")
