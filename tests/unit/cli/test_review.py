"""``headwater review`` against a small service that speaks real gRPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from headwater.cli.app import app
from headwater.ingest.v1 import reviews_pb2, reviews_pb2_grpc

SINCE = Timestamp(seconds=1_795_251_600)


class Service(reviews_pb2_grpc.ReviewServiceServicer):
    """Holds documents, and has two pages of them."""

    def __init__(self) -> None:
        self.released: list[tuple[str, int]] = []

    def HoldDocument(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        if request.document_id == "unknown":
            context.abort(grpc.StatusCode.NOT_FOUND, "There is no such document.")
        return reviews_pb2.HoldDocumentResponse(hold=_held(request.document_id, request.reason))

    def ReleaseDocument(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        self.released.append((request.document_id, request.document_version))
        return reviews_pb2.ReleaseDocumentResponse()

    def ListHolds(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        if not request.page_token:
            return reviews_pb2.ListHoldsResponse(holds=[_held("a.md", "wrong")], next_page_token="a.md")
        return reviews_pb2.ListHoldsResponse(holds=[_held("b.md", "unreadable")])

    def ListReviews(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        return reviews_pb2.ListReviewsResponse(reviews=[_review(reviews_pb2.REVIEW_STATE_OPEN)])

    def DecideReview(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        return reviews_pb2.DecideReviewResponse(review=_review(request.decision))


def _review(state: Any) -> reviews_pb2.Review:
    return reviews_pb2.Review(
        review_id="r1",
        document_id="a.md",
        document_version=3,
        reason=reviews_pb2.REVIEW_REASON_EMPTY,
        detail="3 letters and digits",
        raised_at=SINCE,
        state=state,
    )


def _held(document_id: str, reason: str) -> reviews_pb2.HeldDocument:
    return reviews_pb2.HeldDocument(
        document_id=document_id, since=SINCE, held_by="rita", reason=reason, document_version=3, title="Prices"
    )


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    servicer = Service()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    reviews_pb2_grpc.add_ReviewServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


def run(target: str, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["review", *words, "--target", target])
    return result.exit_code, result.output


def test_a_document_is_held_and_released(service: tuple[Service, str]) -> None:
    servicer, target = service
    code, said = run(target, "hold", "a.md", "--reason", "wrong")
    assert (code, "a.md is on hold since 2026-11-" in said) == (0, True)
    code, said = run(target, "hold", "a.md", "--reason", "wrong", "--json")
    assert json.loads(said)["reason"] == "wrong"
    assert run(target, "release", "a.md", "--version", "3")[0] == 0
    assert servicer.released == [("a.md", 3)]


def test_what_is_on_hold_is_listed_over_all_pages(service: tuple[Service, str]) -> None:
    _, target = service
    code, said = run(target, "holds")
    assert code == 0
    assert "a.md" in said
    assert "b.md" in said
    _, said = run(target, "holds", "--json")
    assert [each["document_id"] for each in json.loads(said)] == ["a.md", "b.md"]


def test_an_unknown_document_is_an_error(service: tuple[Service, str]) -> None:
    _, target = service
    assert run(target, "hold", "unknown")[0] != 0


def test_the_queue_is_listed_and_decided_on(service: tuple[Service, str]) -> None:
    _, target = service
    _, said = run(target, "list", "--json")
    assert [(each["review_id"], each["reason"], each["state"]) for each in json.loads(said)] == [
        ("r1", "empty", "open")
    ]
    assert "a.md" in run(target, "list")[1]
    assert json.loads(run(target, "show", "r1")[1])["detail"] == "3 letters and digits"
    assert run(target, "show", "r2")[0] != 0
    for command, state in (("approve", "approved"), ("edited", "edited"), ("reject", "rejected")):
        assert run(target, command, "r1") == (0, f"a.md: empty {state}.\n")
