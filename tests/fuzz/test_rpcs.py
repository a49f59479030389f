"""Whatever bytes arrive at an RPC: an answer or a declared error, soon, without a word about our insides, and everybody
still runs."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.made import TENANT, encoded
from tests.fuzz.profiles import tried
from tests.fuzz.running import Answer, Services, services

from headwater.ingest.v1 import ingest_pb2

pytestmark = [pytest.mark.xdist_group("fuzz"), pytest.mark.timeout(3600)]

HOSTS = {
    "headwater.gateway.v1.GatewayService": ("gateway",),
    "headwater.gateway.v1.FeedbackService": ("gateway",),
    "headwater.gateway.v1.CostService": ("gateway",),
    "headwater.gateway.v1.ReplayService": ("gateway",),
    "headwater.gateway.v1.DriftService": ("gateway",),
    "headwater.retrieval.v1.RetrievalService": ("retriever",),
    "headwater.rerank.v1.RerankService": ("reranker",),
    "headwater.embedding.v1.EmbeddingService": ("embedder",),
    "headwater.ingest.v1.IngestService": ("ingest",),
}
"""Who serves what; any other service of the ingest package is served by the ingest service and the gateway."""
SPECIFIED = Path(__file__).parents[2] / "protos"

DECLARED = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    }
)
"""UNKNOWN, INTERNAL and DEADLINE_EXCEEDED are never what a caller's bytes may cause."""
LONGEST_SECONDS = 1.0
INSIDES = ("Traceback", 'File "', ".py", "site-packages", "Error(", "Exception", "/data/", "sqlite", "0x")


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every RPC of the protos, at every service that answers it."""
    for file in sorted(SPECIFIED.rglob("*.proto")):
        name = ".".join(file.relative_to(SPECIFIED).with_suffix("").parts)
        module = importlib.import_module(f"{name}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            for host in HOSTS.get(service.full_name, ("ingest", "gateway")):
                for method in service.methods:
                    yield host, method


METHODS = list(methods())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services(tmp_path_factory.mktemp("fuzz")) as made:
        tenant = ingest_pb2.CreateTenantRequest(tenant_id=TENANT)
        call(made, "ingest", "/headwater.ingest.v1.IngestService/CreateTenant", [tenant.SerializeToString()])
        yield made
        assert made.failures == []


def call(running: Services, host: str, path: str, requests: list[bytes]) -> Answer:
    return running.call(host, path, requests, streamed=False, streams=False)


@pytest.mark.parametrize(("host", "method"), METHODS, ids=[f"{host} {method.full_name}" for host, method in METHODS])
def test_bytes_are_answered_or_refused(running: Services, host: str, method: MethodDescriptor) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    streamed, streams = method.client_streaming, method.server_streaming

    @tried(6, 300)
    @given(requests=st.lists(encoded(method.input_type), min_size=1, max_size=4 if streamed else 1))
    def fuzz(requests: list[bytes]) -> None:
        busy = time.process_time()
        answer = running.call(host, path, requests, streamed=streamed, streams=streams)
        busy = time.process_time() - busy
        if method.name == "DeleteTenant":
            again = ingest_pb2.CreateTenantRequest(tenant_id=TENANT)
            call(running, "ingest", "/headwater.ingest.v1.IngestService/CreateTenant", [again.SerializeToString()])
        check(answer, busy)
        assert running.failures == []

    fuzz()


def check(answer: Answer, busy_seconds: float) -> None:
    assert answer.code in DECLARED, answer
    assert answer.code is grpc.StatusCode.OK or answer.reason, answer
    assert not [word for word in INSIDES if word in answer.text], answer
    # Other programs may have had the processor: only time that this process worked counts as slow.
    assert min(answer.seconds, busy_seconds) < LONGEST_SECONDS, answer


def test_afterwards_a_document_is_found(running: Services) -> None:
    draft = ingest_pb2.DocumentDraft(document_id="fine", filename="fine.txt", access={"principals": ["public"]})
    put = ingest_pb2.PutDocumentRequest(draft=draft, content=b"The cat sat on the mat.")
    answer = call(running, "ingest", "/headwater.ingest.v1.IngestService/PutDocument", [put.SerializeToString()])
    assert answer.code is grpc.StatusCode.OK, answer
    deadline = time.monotonic() + 60
    get = ingest_pb2.GetDocumentRequest(document_id="fine").SerializeToString()
    while True:
        reply = running.channels["ingest"].unary_unary(
            "/headwater.ingest.v1.IngestService/GetDocument",
            response_deserializer=ingest_pb2.GetDocumentResponse.FromString,
        )(get, metadata=running._identity("ingest"), timeout=10)
        if reply.document.state == ingest_pb2.DOCUMENT_STATE_LIVE:
            break
        assert time.monotonic() < deadline, reply
        time.sleep(0.1)
    assert running.failures == []
