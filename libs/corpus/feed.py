"""The feed of heads: what ingestion publishes of every head it writes, and replicas read.

A record's key is ``tenant/document``. Its value is what readers need of the head, never a principal, or announces that
the head is about to be replaced; a record without a value says that the head is forgotten, and one under the key
``tenant/`` that all heads of the tenant are. What was said last of a document's hold has a key of its own, so that no
head takes its place: replicas ask for the document when one comes, and who has lost all holds finds them there. That a
hold is about to change is announced under the same key.
"""

from __future__ import annotations

from datetime import UTC
from typing import Final

from google.protobuf.message import DecodeError

from chassis.errors import InvalidRequest
from corpus.domain import (
    MAX_VERSION,
    AccessPolicy,
    Announcement,
    CalledOff,
    DocumentKey,
    HeadState,
    Hold,
    PublishedHead,
    ServedHead,
)
from headwater.events.v1 import events_pb2

HEADS_TOPIC: Final = "headwater.heads.v1"
"""Compacted: at least the last record of every key stays."""

_HOLD: Final = "\x00hold/"

_STATES: Final = {
    HeadState.LIVE: events_pb2.HEAD_STATE_LIVE,
    HeadState.DELETED: events_pb2.HEAD_STATE_DELETED,
}
_STATE_OF: Final = {number: state for state, number in _STATES.items()}


def record_key(tenant_id: str, document_id: str = "") -> bytes:
    """Key of a document's records; without a document the key under which the whole tenant is forgotten."""
    return f"{tenant_id}/{document_id}".encode()


def read_record_key(key: bytes) -> tuple[str, str] | None:
    """Inverse of ``record_key``; None for a key that no document can have."""
    try:
        tenant_id, slash, document_id = key.decode().partition("/")
    except UnicodeDecodeError:
        return None
    return (tenant_id, document_id) if tenant_id and slash else None


def hold_key(key: DocumentKey) -> bytes:
    """Key of the record of a document's hold: no document can have it, because ids are printable."""
    return record_key(key.tenant_id, _HOLD + key.document_id)


def held_document(name: str) -> str:
    """The document, if the second part of a key is ``hold_key``'s; "" of any other."""
    return name.removeprefix(_HOLD) if name.startswith(_HOLD) else ""


def encode_hold_announcement(hold: Hold, before: Hold | None) -> bytes:
    """Value of the record that goes before a hold's own. It takes the place of what was said before, so it repeats
    that."""
    # Of no version: a head that is written meanwhile must not end it, for it says nothing of the hold.
    announcement = events_pb2.Announcement(id=hold_announcement_id(hold.version), version=MAX_VERSION + 1)
    message = events_pb2.HeadChanged() if before is None else events_pb2.HeadChanged.FromString(encode_hold(before))
    message.tenant_id, message.document_id = hold.key.tenant_id, hold.key.document_id
    message.announcement.CopyFrom(announcement)
    return message.SerializeToString()


def hold_announcement_id(version: int) -> str:
    """Name of the announcement of a hold of this version; sorts as versions do."""
    return f"hold/{version:020d}"


def encode_hold(hold: Hold) -> bytes:
    """Value of a hold's record."""
    said = events_pb2.Hold(version=hold.version, held=hold.held, said_by=hold.by, reason=hold.reason)
    said.changed_at.FromDatetime(hold.changed_at)
    return events_pb2.HeadChanged(
        tenant_id=hold.key.tenant_id, document_id=hold.key.document_id, hold=said
    ).SerializeToString()


def decode_hold(value: bytes) -> Hold:
    """Inverse of ``encode_hold``; of an announcement, what was said before. Raises InvalidRequest MALFORMED_EVENT, also
    for an announcement before which nothing was."""
    try:
        message = events_pb2.HeadChanged.FromString(value)
        changed_at = message.hold.changed_at.ToDatetime(tzinfo=UTC)
    except (DecodeError, ValueError, OverflowError):
        raise _malformed() from None
    said = message.hold
    if not message.HasField("hold") or not 0 < said.version <= MAX_VERSION:
        raise _malformed()
    key = DocumentKey(message.tenant_id, message.document_id)
    return Hold(key, said.version, said.held, changed_at, said.said_by, said.reason)


def encode_head(head: ServedHead) -> bytes:
    """Value of a head's record."""
    message = events_pb2.HeadChanged(
        tenant_id=head.key.tenant_id,
        document_id=head.key.document_id,
        version=head.version,
        chunks_version=head.chunks_version,
        state=_STATES[head.state],
        access_tokens=sorted(head.access.tokens),
        security_level=head.access.security_level,
        generation=head.generation,
        ingest_trace_id=head.ingest_trace_id,
    )
    if head.expires_at is not None:
        message.expires_at.FromDatetime(head.expires_at)
    return message.SerializeToString()


def encode_announcement(said: Announcement | CalledOff) -> bytes:
    """Value of an announcement's record, or of one that calls it off."""
    announcement = events_pb2.Announcement(id=said.announcement_id)
    if isinstance(said, Announcement):
        announcement.version = said.version
    else:
        announcement.called_off = True
    return events_pb2.HeadChanged(
        tenant_id=said.key.tenant_id, document_id=said.key.document_id, announcement=announcement
    ).SerializeToString()


def decode_announcement(value: bytes) -> Announcement | CalledOff | None:
    """Inverse of ``encode_announcement``; None for a record of something else. Quicker than ``decode_head``. Raises
    InvalidRequest MALFORMED_EVENT."""
    try:
        message = events_pb2.HeadChanged.FromString(value)
    except DecodeError:
        raise _malformed() from None
    if not message.HasField("announcement"):
        return None
    key, said = DocumentKey(message.tenant_id, message.document_id), message.announcement
    if said.called_off:
        return CalledOff(key, said.id)
    if not 0 < said.version <= MAX_VERSION + 1:
        raise _malformed()
    return Announcement(key, said.id, said.version)


def decode_head(value: bytes) -> PublishedHead:
    """Inverse of ``encode_head``. Raises InvalidRequest MALFORMED_EVENT."""
    try:
        message = events_pb2.HeadChanged.FromString(value)
        expires_at = message.expires_at.ToDatetime(tzinfo=UTC) if message.HasField("expires_at") else None
    except (DecodeError, ValueError, OverflowError):
        raise _malformed() from None
    state = _STATE_OF.get(message.state)
    if state is None or not 0 < message.version <= MAX_VERSION:
        raise _malformed()
    return PublishedHead(
        DocumentKey(message.tenant_id, message.document_id),
        message.version,
        message.chunks_version,
        state,
        AccessPolicy(frozenset(message.access_tokens), message.security_level),
        message.generation,
        expires_at,
        message.ingest_trace_id,
    )


def _malformed() -> InvalidRequest:
    return InvalidRequest("The record is not a head that this version knows.", reason="MALFORMED_EVENT")
