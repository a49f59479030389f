"""What callers of the embedder may rely on, whichever edge answers: a plain gRPC server or Ray Serve."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.contract.embedding_edge_process import DIE, FAIL, SECRET, WAIT
from tests.servers.encoders import CALLER, Edge, running
from tests.unit.inference.tiny_models import make_tiny_model

from chassis.errors import (
    DeadlineExceeded,
    Defect,
    DependencyUnavailable,
    FailedPrecondition,
    InvalidRequest,
    Overloaded,
    Unauthenticated,
)
from chassis.identity import Caller
from chassis.rpc.client import call
from chassis.tokens import METADATA_KEY, TokenMinter, private_key_file
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from inference.domain import TextKind
from inference.encoder import TextEncoder

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("embedding-edge")]

PASSAGE = embedding_pb2.TEXT_KIND_PASSAGE
IN_FLIGHT, REPLICAS, QUEUED = 2, 2, 16


@pytest.fixture(scope="module", params=["plain", pytest.param("ray", marks=pytest.mark.ray)])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    directory = tmp_path_factory.mktemp(request.param)
    settings = {
        "HEADWATER_MODEL_CACHE": str(directory / "cache"),
        "HEADWATER_EMBEDDER_MODEL": str(make_tiny_model(directory / "tiny").path),
        "HEADWATER_EMBEDDER_RUNTIME": "onnxruntime-fp32",
        "HEADWATER_EMBEDDER_THREADS": "1",
        "HEADWATER_MAX_IN_FLIGHT": str(IN_FLIGHT),
        "HEADWATER_SERVE__MIN_REPLICAS": str(REPLICAS),
        "HEADWATER_SERVE__MAX_REPLICAS": str(REPLICAS),
        "HEADWATER_SERVE__MAX_QUEUED_REQUESTS": str(QUEUED),
    }
    command = ["-m", "tests.contract.embedding_edge_process", request.param]
    with running(request.param, directory, command, settings, ask_for_the_model) as started:
        yield started


async def ask_for_the_model(channel: grpc.aio.Channel) -> object:
    stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    return await call(stub.GetModelInfo, embedding_pb2.GetModelInfoRequest(), timeout_seconds=10, as_caller=CALLER)


@pytest.fixture
async def stub(edge: Edge) -> AsyncIterator[Any]:
    async with edge.channel() as channel:
        yield embedding_pb2_grpc.EmbeddingServiceStub(channel)


async def embed(
    stub: Any, *texts: str, seconds: float = 60, as_caller: Caller | None = CALLER, **fields: Any
) -> embedding_pb2.EmbedResponse:
    request = embedding_pb2.EmbedRequest(texts=texts, **{"kind": PASSAGE, **fields})
    return await call(stub.Embed, request, timeout_seconds=seconds, as_caller=as_caller)


def rows(response: embedding_pb2.EmbedResponse) -> np.ndarray:
    return np.frombuffer(response.vectors, "<f4").reshape(-1, response.dimensions)


async def test_vectors_are_those_of_the_engine_in_order(stub: Any, edge: Edge) -> None:
    texts = ["the cat sat", "", "a dog on the mat"]
    encoder = TextEncoder.load(str(edge.directory / "tiny"), runtime="onnxruntime-fp32", threads=1)
    expected = encoder.encode(texts, TextKind.PASSAGE)
    response = await embed(stub, *texts)
    np.testing.assert_allclose(rows(response), expected.vectors, atol=1e-6)
    assert [report.empty for report in response.reports] == [False, True, False]


async def test_a_refusal_keeps_its_class_reason_and_metadata(stub: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await embed(stub, *["the cat"] * 1025)
    assert refused.value.reason == "TOO_MANY_TEXTS"
    assert refused.value.metadata == {"limit": "1024", "texts": "1025"}
    with pytest.raises(FailedPrecondition) as other:
        await embed(stub, "the cat", expected_model_revision="000000000000")
    assert other.value.reason == "MODEL_MISMATCH"


async def test_who_cannot_prove_who_he_is_is_refused(stub: Any, edge: Edge) -> None:
    with pytest.raises(Unauthenticated):
        await embed(stub, "the cat", as_caller=None)
    token = TokenMinter(private_key_file(edge.directory / "keys", "stranger"), "stranger").mint(CALLER)
    request = embedding_pb2.EmbedRequest(texts=["the cat"], kind=PASSAGE)
    with pytest.raises(Unauthenticated):
        await call(stub.Embed, request, timeout_seconds=60, metadata=[(METADATA_KEY, token)])
    with pytest.raises(Unauthenticated) as ambiguous:
        await call(stub.Embed, request, timeout_seconds=60, as_caller=CALLER, metadata=[(METADATA_KEY, token)])
    assert ambiguous.value.reason == "AMBIGUOUS_IDENTITY"


async def test_a_caller_with_thousands_of_groups_is_served(stub: Any) -> None:
    groups = frozenset(f"directory-group-number-{number:05}" for number in range(5_000))
    caller = Caller("acme", "alice", groups)
    assert len((await embed(stub, "the cat", as_caller=caller)).reports) == 1


async def test_work_ends_with_the_deadline_of_its_caller(stub: Any) -> None:
    # As many as there are permits, three times over: were one left working, the rest would be refused.
    for _ in range(3):
        waiting = [embed(stub, WAIT, seconds=1.0) for _ in range(IN_FLIGHT)]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, DeadlineExceeded)
    await eventually(stub)


async def eventually(stub: Any) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            await embed(stub, "the cat")
            return
        except Overloaded:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)


async def test_what_is_too_much_is_refused_at_once_with_a_delay(stub: Any) -> None:
    many = 3 * (REPLICAS * IN_FLIGHT + QUEUED)
    outcomes = await asyncio.gather(*(embed(stub, WAIT, seconds=8) for _ in range(many)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    # The queue before the replicas is bounded, not counted to the last request.
    assert len(refused) >= many // 2
    assert all(each.reason == "OVERLOADED" and each.retry_after_seconds for each in refused)
    assert all(isinstance(outcome, Overloaded | DeadlineExceeded) for outcome in outcomes)
    await eventually(stub)


async def test_nothing_of_what_broke_inside_leaves(stub: Any) -> None:
    with pytest.raises(Defect) as broken:
        await embed(stub, FAIL)
    assert broken.value.reason == "INTERNAL"
    failure = broken.value.__cause__
    assert isinstance(failure, grpc.aio.AioRpcError)
    assert failure.details() == "An internal error."
    everything = repr((failure.details(), failure.initial_metadata(), failure.trailing_metadata()))
    for leak in (SECRET, "Traceback", "RuntimeError", "ValueError", ".py", "ray"):
        assert leak not in everything
    assert len((await embed(stub, "the cat")).reports) == 1


async def test_reflection_is_off(edge: Edge) -> None:
    async with edge.channel() as channel:
        # Unary: grpc.aio reports a stream's message that the server no longer wanted as INTERNAL, and hides its status.
        ask = channel.unary_unary("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(b"", timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def replicas(edge: Edge) -> list[int]:
    """Processes of the edge's replicas, found by what they were told."""
    found = []
    told = f"HEADWATER_DATA_DIR={edge.directory}".encode()
    for each in Path("/proc").iterdir():
        try:
            is_replica = each.name.isdecimal() and (each / "cmdline").read_bytes().startswith(b"ray::ServeReplica:")
            if is_replica and told in (each / "environ").read_bytes().split(b"\0"):
                found.append(int(each.name))
        except OSError:
            continue
    return found


async def test_a_replica_killed_under_load_loses_no_request(stub: Any, edge: Edge) -> None:
    if edge.kind == "plain":
        pytest.skip("a server of our own is one process: its caller's channel finds the next one")
    killed: list[int] = []
    answered: list[int] = []
    done = asyncio.Event()

    async def keep_asking(number: int) -> None:
        while not done.is_set():
            response = await embed(stub, "the cat sat", "a dog", "the river runs")
            assert len(response.reports) == 3
            answered.append(number)

    async def until_more(count: int) -> None:
        target = len(answered) + count
        while len(answered) < target:
            await asyncio.sleep(0.02)

    async def kill_two() -> None:
        for _ in range(2):
            await until_more(30)
            (victim, *_) = (pid for pid in replicas(edge) if pid not in killed)
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
        await until_more(60)
        done.set()

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(keep_asking(number))
        group.create_task(kill_two())
    assert len(killed) == 2


async def test_a_request_that_kills_its_replicas_is_given_up(stub: Any, edge: Edge) -> None:
    if edge.kind == "plain":
        pytest.skip("without its process there is nobody to answer")
    with pytest.raises(DependencyUnavailable) as lost:
        await embed(stub, DIE, seconds=240)
    assert lost.value.reason == "REPLICA_LOST"
    assert lost.value.retry_after_seconds
    failure = lost.value.__cause__
    assert isinstance(failure, grpc.aio.AioRpcError)
    everything = repr((failure.details(), failure.initial_metadata(), failure.trailing_metadata())).lower()
    for leak in ("ray", "actor", "traceback", "worker", DIE):
        assert leak not in everything
    # Serve starts new ones.
    assert len((await embed(stub, "the cat", seconds=240)).reports) == 1
