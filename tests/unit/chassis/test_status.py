from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.unit.chassis.echo import CALLER, Echo, running_echo

from chassis import errors
from chassis.errors import (
    Defect,
    DependencyUnavailable,
    Disposition,
    DocumentRejected,
    HeadwaterError,
    InvalidRequest,
    Overloaded,
    disposition_of,
    grpc_status_of,
)
from chassis.rpc.client import call
from chassis.rpc.status import DETAILS_KEY, from_wire, to_wire


class DamagedDocument(DocumentRejected):
    """As services declare them: own constructor, unknown to callers."""

    default_reason = "DAMAGED"

    def __init__(self) -> None:
        super().__init__("the document is damaged")


def _tree(root: type[HeadwaterError] = HeadwaterError) -> Iterator[type[HeadwaterError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _tree(kind)


SHARED = [kind for kind in _tree() if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", list(_tree()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_place_in_both_edge_tables(kind: type[HeadwaterError]) -> None:
    error = kind.__new__(kind)
    assert grpc.StatusCode[grpc_status_of(error)] is not grpc.StatusCode.OK
    assert isinstance(disposition_of(error), Disposition)
    assert kind.default_reason == kind.default_reason.upper()


@pytest.mark.parametrize("name", ["x" * 70_000, "ü" * 70_000, "\ud800" * 70_000, "\U0001f4a1" * 70_000])
async def test_an_error_that_repeats_a_long_name_keeps_its_reason(name: str, tmp_path: Path) -> None:
    async def fail(_request: bytes) -> bytes:
        raise InvalidRequest(f"There is no {name}.", reason="NO_SUCH_NAME", metadata={"name": name, "other": name})

    async with running_echo(tmp_path, Echo(fail)) as running:
        with pytest.raises(InvalidRequest) as received:
            await call(running.stub.Say, b"", timeout_seconds=5, as_caller=CALLER)
    assert received.value.reason == "NO_SUCH_NAME"
    assert received.value.message.startswith("There is no ")
    assert received.value.message.endswith("…")
    assert len(received.value.message.encode()) <= 1_000


@pytest.mark.parametrize("kind", SHARED, ids=lambda kind: kind.__name__)
async def test_every_error_reaches_the_caller_as_it_was_raised(kind: type[HeadwaterError], tmp_path: Path) -> None:
    raised = kind("what to do next", reason="SOME_REASON", metadata={"field": "name"}, retry_after_seconds=1.25)

    async def fail(_request: bytes) -> bytes:
        raise raised

    async with running_echo(tmp_path, Echo(fail)) as running:
        with pytest.raises(kind) as received:
            await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER)
    assert type(received.value) is kind
    assert received.value.message == "what to do next"
    assert received.value.reason == "SOME_REASON"
    assert received.value.metadata == {"field": "name"}
    assert received.value.retry_after_seconds == 1.25


def test_a_service_s_own_error_arrives_as_its_ancestor_in_the_shared_tree() -> None:
    wire = to_wire(DamagedDocument())
    received = from_wire(wire.code, wire.message, wire.trailers)
    assert type(received) is DocumentRejected
    assert received.reason == "DAMAGED"


def test_an_unknown_exception_leaves_without_a_word_of_its_text() -> None:
    wire = to_wire(ValueError("the secret text of a document"))
    assert wire.code is grpc.StatusCode.INTERNAL
    assert b"secret" not in b"".join(v if isinstance(v, bytes) else v.encode() for _, v in wire.trailers)
    assert "secret" not in wire.message
    received = from_wire(wire.code, wire.message, wire.trailers)
    assert (type(received), received.reason) == (Defect, "INTERNAL")


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last: 10.0.0.1", DependencyUnavailable),
        (grpc.StatusCode.UNKNOWN, "Unexpected error", DependencyUnavailable),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM", DependencyUnavailable),
        (grpc.StatusCode.CANCELLED, "", DependencyUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "", Overloaded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 8)", InvalidRequest),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", errors.FailedPrecondition),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.DeadlineExceeded),
    ],
)
def test_statuses_that_are_not_ours_are_mapped_by_code_and_their_text_stays_behind(
    code: grpc.StatusCode, text: str, kind: type[HeadwaterError]
) -> None:
    received = from_wire(code, text, ())
    assert type(received) is kind
    assert not text or text not in received.message


def test_damaged_details_do_no_harm() -> None:
    received = from_wire(grpc.StatusCode.NOT_FOUND, "", [(DETAILS_KEY, b"\xff\xff\xff")])
    assert type(received) is errors.NotFound
