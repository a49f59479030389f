"""The gRPC edge, over real channels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from tests.unit.gateway.edges import Edges, edges

from headwater.gateway.v1 import gateway_pb2
from headwater.ingest.v1 import ingest_pb2
from headwater.retrieval.v1 import retrieval_pb2

QUESTION = gateway_pb2.Question(text="How many sensors does a gateway with firmware 3.1 accept?")
AS_BOB = (
    ("x-headwater-dev-subject", "bob"),
    ("x-headwater-dev-groups", '["a", "b"]'),
    ("x-headwater-dev-scopes", "read"),
)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edges]:
    async with edges(tmp_path) as running:
        yield running


async def test_a_question_is_a_stream_that_ends_with_one_final(gateway: Edges) -> None:
    events = [event async for event in gateway.grpc.Ask(gateway_pb2.AskRequest(question=QUESTION))]

    kinds = [event.WhichOneof("event") for event in events]
    assert kinds.count("final") == 1
    assert kinds[-1] == "final"
    final = events[-1].final
    assert final.outcome == gateway_pb2.ANSWER_OUTCOME_ANSWERED
    assert final.citations[0].location.span.start == 100
    assert "".join(event.token for event in events) == final.text


async def test_a_search_is_passed_on_whole(gateway: Edges) -> None:
    query = retrieval_pb2.SearchQuery(text="x", k=7, explain=True, vector_weight=0.25)

    response = await gateway.grpc.Search(gateway_pb2.SearchRequest(query=query), metadata=AS_BOB)

    assert gateway.peers.queries == [query]
    assert response.result.hits[0].document_id == "gateway"
    assert gateway.peers.callers[0].groups == frozenset({"a", "b"})


async def test_an_answer_is_replayed_and_rated(gateway: Edges) -> None:
    batch = await gateway.grpc.AskBatch(gateway_pb2.AskBatchRequest(questions=[QUESTION]))
    answer_id = batch.answers[0].answer_id

    replay = await gateway.grpc.GetAnswer(gateway_pb2.GetAnswerRequest(answer_id=answer_id))
    await gateway.grpc.SendFeedback(
        gateway_pb2.SendFeedbackRequest(answer_id=answer_id, rating=gateway_pb2.RATING_BAD, comment="no")
    )

    assert replay.answer.text == batch.answers[0].text
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.grpc.SendFeedback(gateway_pb2.SendFeedbackRequest(answer_id=answer_id))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def parts(count: int) -> AsyncIterator[gateway_pb2.UploadDocumentRequest]:
    yield gateway_pb2.UploadDocumentRequest(draft=ingest_pb2.DocumentDraft(document_id="large"))
    for _ in range(count):
        yield gateway_pb2.UploadDocumentRequest(content=b"x" * 100_000)


async def test_an_upload_is_passed_on_part_by_part(gateway: Edges) -> None:
    response = await gateway.grpc.UploadDocument(parts(30))

    assert response.receipt.document_id == "large"
    assert len(gateway.peers.uploads["large"]) == 3_000_000


async def test_an_upload_that_breaks_off_is_never_stored(gateway: Edges) -> None:
    async def broken() -> AsyncIterator[gateway_pb2.UploadDocumentRequest]:
        async for part in parts(3):
            yield part
        call.cancel()
        yield gateway_pb2.UploadDocumentRequest(content=b"late")

    call = gateway.grpc.UploadDocument(broken())
    with pytest.raises(BaseException):  # noqa: B017, PT011 - cancelled by ourselves, in whichever way gRPC says so
        await call

    assert "large" not in gateway.peers.uploads


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (gateway_pb2.SearchRequest(query=retrieval_pb2.SearchQuery(text="x")), grpc.StatusCode.INVALID_ARGUMENT),
        (gateway_pb2.SearchRequest(query=retrieval_pb2.SearchQuery(k=3)), grpc.StatusCode.INVALID_ARGUMENT),
        (gateway_pb2.SearchRequest(), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_bad_search_never_leaves_the_gateway(
    gateway: Edges, request_: gateway_pb2.SearchRequest, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.grpc.Search(request_)

    assert caught.value.code() is code
    assert gateway.peers.callers == []


async def test_documents_and_tenants(gateway: Edges) -> None:
    stub = gateway.grpc
    document = await stub.GetDocument(gateway_pb2.GetDocumentRequest(document_id="a/b"))
    listed = await stub.ListDocuments(gateway_pb2.ListDocumentsRequest(document_id_prefix="p"))
    status = await stub.GetIngestStatus(gateway_pb2.GetIngestStatusRequest())
    tenants = await stub.ListTenants(gateway_pb2.ListTenantsRequest())
    draft = ingest_pb2.DocumentDraft(document_id="d")
    await stub.PutDocument(gateway_pb2.PutDocumentRequest(draft=draft, content=b"text"))

    assert document.document.document_id == "a/b"
    assert listed.documents[0].document_id == "px"
    assert status.status.lag == 5
    assert tenants.tenants[0].tenant_id == "acme"
    assert gateway.peers.uploads["d"] == b"text"


async def test_without_development_a_caller_that_names_himself_is_nobody(tmp_path: Path) -> None:
    async with edges(tmp_path, development=False) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.grpc.Search(gateway_pb2.SearchRequest(), metadata=AS_BOB)

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_internal_token_from_outside_proves_nothing(tmp_path: Path) -> None:
    async with edges(tmp_path, development=False) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.grpc.Search(gateway_pb2.SearchRequest(), metadata=(("x-headwater-identity", "forged"),))

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
