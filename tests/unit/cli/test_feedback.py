"""``headwater feedback`` against a small service that speaks real gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from headwater import InvalidRequestError
from headwater.cli.app import app
from headwater.client import Client
from headwater.feedback import REASONS
from headwater.gateway.v1 import feedback_pb2, feedback_pb2_grpc, gateway_pb2

ANSWERED_AT = Timestamp(seconds=1_795_251_600)


class Service(feedback_pb2_grpc.FeedbackServiceServicer):
    """Takes feedback, and reports what is made up here."""

    def __init__(self) -> None:
        self.given: list[feedback_pb2.GiveFeedbackRequest] = []
        self.reported: list[feedback_pb2.ReportFeedbackRequest] = []
        self.callers: list[dict[str, Any]] = []

    def GiveFeedback(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        if request.answer_id == "odd":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Odd.")
        self.given.append(request)
        self.callers.append(dict(context.invocation_metadata()))
        return feedback_pb2.GiveFeedbackResponse()

    def ReportFeedback(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        self.reported.append(request)
        outdated = feedback_pb2.ReasonCount(reason=feedback_pb2.FEEDBACK_REASON_OUTDATED, count=2)
        return feedback_pb2.ReportFeedbackResponse(
            good=3,
            bad=2,
            reasons=[outdated],
            documents=[
                feedback_pb2.DocumentRating(
                    document_id="a/b.md", title="B", good=1, bad=2, rate=0.6, reasons=[outdated]
                )
            ],
            unanswered=[feedback_pb2.QuestionGroup(question="Who?", times=4, last_asked_at=ANSWERED_AT)],
            truncated=True,
        )

    def ExportTuningData(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - the service's name
        for number in range(3):
            message = feedback_pb2.ExportTuningDataResponse(
                answer_id=f"a-{number}",
                question="Wie groß?",
                outcome=gateway_pb2.ANSWER_OUTCOME_ANSWERED,
                rating=gateway_pb2.RATING_BAD if number else gateway_pb2.RATING_GOOD,
                answered_at=ANSWERED_AT,
            )
            message.cited.add(document_id="d", chunks_version=2**62, chunk_id="c")
            yield message


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    made, server = Service(), grpc.server(futures.ThreadPoolExecutor(2))
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made, f"127.0.0.1:{port}"
    server.stop(None).wait()


def run(target: str, *words: str) -> Any:
    return CliRunner().invoke(app, ["feedback", *words, "--target", target])


def test_an_id_alone_is_enough_to_say_what_is_wrong(service: tuple[Service, str]) -> None:
    made, target = service
    said = ("--down", "--reason", "wrong_source", "--corrected", "200", "--as-user", "bob", "--tenant", "acme")
    assert run(target, "3f2c8a", *said).exit_code == 0
    assert run(target, "give", "3f2c8b", "--up", "--comment", "fine").exit_code == 0

    first, second = made.given
    assert (first.answer_id, first.rating, first.reason, first.corrected) == (
        "3f2c8a",
        gateway_pb2.RATING_BAD,
        feedback_pb2.FEEDBACK_REASON_WRONG_SOURCE,
        "200",
    )
    assert (second.answer_id, second.rating, second.comment) == ("3f2c8b", gateway_pb2.RATING_GOOD, "fine")
    assert made.callers[0]["x-headwater-dev-subject"] == "bob"
    assert made.callers[0]["x-headwater-dev-tenant"] == "acme"


@pytest.mark.parametrize("words", [("id",), ("id", "--up", "--down"), ("id", "--down", "--reason", "colour")])
def test_what_says_nothing_or_too_much_is_refused_before_it_is_sent(
    service: tuple[Service, str], words: tuple[str, ...]
) -> None:
    made, target = service
    assert run(target, *words).exit_code != 0
    assert made.given == []


def test_a_report_is_a_table_or_json(service: tuple[Service, str]) -> None:
    made, target = service
    shown = run(target, "report", "--days", "7", "--most", "5").output
    for part in ("3 good, 2 bad: outdated 2", "a/b.md", "0.60", "Who?", "4", "--days"):
        assert part in shown
    assert made.reported[0].most == 5
    assert made.reported[0].HasField("since")

    report = json.loads(run(target, "report", "--json").output)
    assert not made.reported[1].HasField("since")
    assert report["documents"][0] == {
        "document_id": "a/b.md",
        "title": "B",
        "good": 1,
        "bad": 2,
        "rate": 0.6,
        "reasons": {"outdated": 2},
    }
    assert report["reasons"] == {"outdated": 2}


def test_an_export_is_one_json_object_a_line(service: tuple[Service, str]) -> None:
    _, target = service
    rows = [json.loads(line) for line in run(target, "export").output.splitlines()]

    assert [(row["answer_id"], row["label"], row["reason"]) for row in rows] == [
        ("a-0", "good", ""),
        ("a-1", "bad", ""),
        ("a-2", "bad", ""),
    ]
    assert rows[0]["question"] == "Wie groß?"
    assert rows[0]["cited"] == [{"document_id": "d", "chunks_version": 2**62, "chunk_id": "c"}]


def test_the_client_knows_every_reason_and_errors_are_typed(service: tuple[Service, str]) -> None:
    made, target = service
    with Client(target) as client:
        for reason in REASONS:
            client.give_feedback("a", good=False, reason=reason)
        with pytest.raises(ValueError, match="reason"):
            client.give_feedback("a", good=False, reason="colour")
        with pytest.raises(InvalidRequestError):
            client.give_feedback("odd", good=True)
    numbers = {value.number for value in feedback_pb2.FeedbackReason.DESCRIPTOR.values}
    assert {each.reason for each in made.given} == numbers - {feedback_pb2.FEEDBACK_REASON_UNSPECIFIED}
