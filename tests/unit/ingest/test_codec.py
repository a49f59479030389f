"""Changes survive the way through the log, and foreign bytes do no harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidRequest
from corpus.domain import DocumentKey
from headwater.events.v1 import events_pb2
from ingest.codec import decode_change, encode_change, key_bytes
from ingest.domain import Delete, DocumentChange, Draft, SetAccess, StoredContent, Upsert, fingerprint

AT = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)
KEY = DocumentKey("acme", "Ordner/größe 1.txt")
CONTENT = StoredContent("documents/acme/ab/abcd", "abcd", 12)
DRAFT = Draft(
    KEY.document_id,
    7,
    filename="größe 1.txt",
    media_type="text/plain",
    title="Größe",
    doc_type="guide",
    uri="https://example.org/1",
    metadata={"year": 2026.0, "final": True, "tags": ("a", "b"), "reviewed": AT, "sizes": (1.0, 2.5), "team": "x"},
    principals=("public", "group:staff"),
    security_level=3,
    expires_at=AT,
)


@pytest.mark.parametrize(
    "change", [Upsert(DRAFT, CONTENT), Delete(), SetAccess(("group:a",), 2), SetAccess((), 0)], ids=lambda c: c.kind
)
def test_a_change_comes_out_of_the_log_as_it_went_in(change) -> None:
    event = DocumentChange("e1", KEY, 7, AT, change)
    decoded = decode_change(encode_change(event))
    assert decoded == event
    assert fingerprint(decoded.change) == fingerprint(change)


def test_all_changes_of_one_document_have_one_key_and_no_two_documents_share_one() -> None:
    assert key_bytes(DocumentKey("a", "b/c")) == b"a/b/c"
    assert key_bytes(DocumentKey("a", "b")) != key_bytes(DocumentKey("a", "c"))


@given(st.binary(max_size=200))
def test_whatever_bytes_come_the_answer_is_a_change_or_a_typed_error(value: bytes) -> None:
    try:
        decode_change(value)
    except InvalidRequest as error:
        reason = error.reason
    else:
        return
    assert reason in ("MALFORMED_EVENT", "INVALID_TENANT_ID", "INVALID_DOCUMENT_ID")


def _message(**fields: object) -> events_pb2.DocumentChange:
    message = events_pb2.DocumentChange(
        event_id="e1", tenant_id="acme", document_id="guide", version=7, delete=events_pb2.Delete()
    )
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": ""},
        {"tenant_id": ""},
        {"tenant_id": "../../etc"},
        {"document_id": ""},
        {"document_id": "a\nb"},
        {"document_id": "x" * 600},
        {"version": 0},
        {"version": 2**63},
    ],
    ids=str,
)
def test_an_event_without_a_usable_identity_is_malformed(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        decode_change(_message(**fields).SerializeToString())


def test_an_event_of_a_kind_that_is_not_known_is_malformed() -> None:
    message = _message()
    message.ClearField("delete")
    with pytest.raises(InvalidRequest, match="no change"):
        decode_change(message.SerializeToString())


def test_values_that_cannot_be_represented_are_malformed() -> None:
    def upsert() -> events_pb2.DocumentChange:
        message = _message()
        message.upsert.object_key, message.upsert.content_sha256 = "k", "s"
        return message

    nan, late, nested, unnamed = upsert(), upsert(), upsert(), upsert()
    nan.upsert.metadata["x"] = float("nan")
    late.upsert.expires_at.seconds = 2**60
    nested.upsert.metadata["x"] = {"y": 1}
    unnamed.upsert.object_key = ""
    for message in (nan, late, nested, unnamed):
        with pytest.raises(InvalidRequest) as raised:
            decode_change(message.SerializeToString())
        assert raised.value.reason == "MALFORMED_EVENT"


def test_the_order_of_readers_and_of_metadata_makes_no_difference_to_a_fingerprint() -> None:
    other = replace(DRAFT, principals=("group:staff", "public"), metadata=dict(reversed(list(DRAFT.metadata.items()))))
    assert fingerprint(Upsert(other, CONTENT)) == fingerprint(Upsert(DRAFT, CONTENT))
    assert fingerprint(Upsert(replace(DRAFT, title="x"), CONTENT)) != fingerprint(Upsert(DRAFT, CONTENT))
    assert fingerprint(SetAccess(("a", "b"), 0)) == fingerprint(SetAccess(("b", "a"), 0))
