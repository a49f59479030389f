"""Feedback over gRPC and HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.unit.gateway.edges import Edges, edges

from headwater.gateway.v1 import feedback_pb2, gateway_pb2

QUESTION = "How many sensors does a gateway with firmware 3.1 accept?"
READER = {"x-headwater-dev-tenant": "acme", "x-headwater-dev-subject": "alice", "x-headwater-dev-scopes": "read"}
REVIEWER = READER | {"x-headwater-dev-subject": "rita", "x-headwater-dev-scopes": "read review"}
FOREIGN = REVIEWER | {"x-headwater-dev-tenant": "other", "x-headwater-dev-scopes": "read admin review"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edges]:
    async with edges(tmp_path) as running:
        yield running


async def answered(gateway: Edges) -> str:
    response = await gateway.http.post("/v1/ask", json={"question": QUESTION}, headers=READER)
    return str(response.json()["answer_id"])


async def test_feedback_given_over_http_is_reported_and_exported(gateway: Edges) -> None:
    answer_id = await answered(gateway)
    body = {"answer_id": answer_id, "rating": "bad", "reason": "wrong_source", "corrected": "200", "comment": "see b"}

    given = await gateway.http.post("/v1/feedback", json=body, headers=READER)
    report = await gateway.http.get("/v1/feedback/report", headers=REVIEWER)
    export = await gateway.http.get("/v1/feedback/export", headers=REVIEWER)

    assert given.status_code == 204
    seen = report.json()
    assert (seen["good"], seen["bad"], seen["reasons"]) == (0, 1, [{"reason": "wrong_source", "count": 1}])
    assert [(each["document_id"], each["bad"]) for each in seen["documents"]] == [("gateway", 1)]
    assert export.headers["content-type"].startswith("application/x-ndjson")
    (row,) = [json.loads(line) for line in export.text.splitlines()]
    assert (row["question"], row["rating"], row["reason"], row["corrected"], row["comment"]) == (
        QUESTION,
        "bad",
        "wrong_source",
        "200",
        "see b",
    )
    assert row["cited"] == [{"document_id": "gateway", "chunks_version": 7, "chunk_id": "gateway-chunk"}]
    assert "alice" not in export.text


async def test_over_http_strangers_and_readers_are_refused(gateway: Edges) -> None:
    answer_id = await answered(gateway)

    foreign = await gateway.http.post("/v1/feedback", json={"answer_id": answer_id, "rating": "good"}, headers=REVIEWER)
    with_reason = await gateway.http.post(
        "/v1/feedback", json={"answer_id": answer_id, "rating": "good", "reason": "wrong"}, headers=READER
    )
    no_reason = await gateway.http.post(
        "/v1/feedback", json={"answer_id": answer_id, "rating": "bad", "reason": "colour"}, headers=READER
    )
    report = await gateway.http.get("/v1/feedback/report", headers=READER)
    export = await gateway.http.get("/v1/feedback/export", headers=READER)
    too_many = await gateway.http.get("/v1/feedback/report?most=101", headers=REVIEWER)

    assert (foreign.status_code, foreign.json()["reason"]) == (404, "UNKNOWN_ANSWER")
    assert (with_reason.status_code, with_reason.json()["reason"]) == (400, "REASON_WITH_GOOD")
    assert no_reason.status_code == 400
    assert (report.status_code, report.json()["reason"]) == (403, "MISSING_SCOPE")
    assert export.status_code == 403
    assert (too_many.status_code, too_many.json()["reason"]) == (400, "INVALID_MOST")


async def test_over_http_answers_before_a_moment_are_left_out(gateway: Edges) -> None:
    answer_id = await answered(gateway)
    await gateway.http.post("/v1/feedback", json={"answer_id": answer_id, "rating": "good"}, headers=READER)

    for since, good in (("2026-11-21T09:00:00", 1), ("2026-11-21T10:00:00+01:00", 1), ("2026-11-21T09:00:01Z", 0)):
        report = await gateway.http.get("/v1/feedback/report", params={"since": since}, headers=REVIEWER)
        assert report.json()["good"] == good


async def test_feedback_given_over_grpc_is_reported_and_exported(gateway: Edges) -> None:
    answer_id = await answered(gateway)
    request = feedback_pb2.GiveFeedbackRequest(
        answer_id=answer_id, rating=gateway_pb2.RATING_BAD, reason=feedback_pb2.FEEDBACK_REASON_OUTDATED
    )

    await gateway.feedback.GiveFeedback(request, metadata=list(READER.items()))
    report = await gateway.feedback.ReportFeedback(
        feedback_pb2.ReportFeedbackRequest(), metadata=list(REVIEWER.items())
    )
    rows = [
        row
        async for row in gateway.feedback.ExportTuningData(
            feedback_pb2.ExportTuningDataRequest(), metadata=list(REVIEWER.items())
        )
    ]
    foreign = await gateway.feedback.ReportFeedback(
        feedback_pb2.ReportFeedbackRequest(), metadata=list(FOREIGN.items())
    )

    assert [(each.reason, each.count) for each in report.reasons] == [(feedback_pb2.FEEDBACK_REASON_OUTDATED, 1)]
    assert [each.document_id for each in report.documents] == ["gateway"]
    assert [(row.answer_id, row.rating, row.reason) for row in rows] == [
        (answer_id, gateway_pb2.RATING_BAD, feedback_pb2.FEEDBACK_REASON_OUTDATED)
    ]
    assert foreign == feedback_pb2.ReportFeedbackResponse()


async def test_the_short_form_of_feedback_ends_in_the_same_place(gateway: Edges) -> None:
    answer_id = await answered(gateway)
    request = gateway_pb2.SendFeedbackRequest(answer_id=answer_id, rating=gateway_pb2.RATING_BAD, comment="no")

    await gateway.grpc.SendFeedback(request, metadata=list(READER.items()))
    export = await gateway.http.get("/v1/feedback/export", headers=REVIEWER)

    assert json.loads(export.text)["comment"] == "no"


async def test_over_grpc_a_reader_gets_no_report_and_odd_requests_are_refused(gateway: Edges) -> None:
    answer_id = await answered(gateway)
    bad = gateway_pb2.RATING_BAD
    odd: list[tuple[Any, Any]] = [
        (gateway.feedback.GiveFeedback, feedback_pb2.GiveFeedbackRequest(answer_id=answer_id)),
        (gateway.feedback.GiveFeedback, feedback_pb2.GiveFeedbackRequest(answer_id=answer_id, rating=bad, reason=99)),  # type: ignore[arg-type]
        (gateway.feedback.ReportFeedback, feedback_pb2.ReportFeedbackRequest(most=101)),
        (gateway.feedback.ReportFeedback, feedback_pb2.ReportFeedbackRequest(since=Timestamp(seconds=2**62))),
        (gateway.feedback.ReportFeedback, feedback_pb2.ReportFeedbackRequest(since=Timestamp(seconds=-(2**62)))),
        (gateway.feedback.ReportFeedback, feedback_pb2.ReportFeedbackRequest(since=Timestamp(nanos=-1))),
    ]
    for method, request in odd:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, metadata=list((READER | {"x-headwater-dev-scopes": "read review"}).items()))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, request
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.feedback.ReportFeedback(feedback_pb2.ReportFeedbackRequest(), metadata=list(READER.items()))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
