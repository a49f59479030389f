"""Changes as protobuf events."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf import json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import DecodeError

from chassis.errors import InvalidRequest
from corpus.domain import MAX_VERSION, DocumentKey
from corpus.ids import validate_document_id, validate_tenant_id
from corpus.metadata import metadata_from_json, metadata_to_json
from headwater.common.v1 import common_pb2
from headwater.events.v1 import events_pb2
from ingest.domain import Change, Delete, DocumentChange, Draft, SetAccess, StoredContent, Upsert

CHANGES_TOPIC = "headwater.document-changes.v1"
BULK_CHANGES_TOPIC = "headwater.document-changes-bulk.v1"
DEAD_LETTERS_TOPIC = "headwater.dead-letters.v1"
SOURCES_TOPIC = "headwater.sources.v1"
MAX_EVENT_ID_CHARACTERS = 256
"""Ours have 32. A longer one would not fit into the stores' keys."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def key_bytes(key: DocumentKey) -> bytes:
    """Key of a document's records: all changes of one document keep their order."""
    return f"{key.tenant_id}/{key.document_id}".encode()


def encode_change(event: DocumentChange) -> bytes:
    """The event as it travels."""
    message = events_pb2.DocumentChange(
        event_id=event.event_id,
        tenant_id=event.key.tenant_id,
        document_id=event.key.document_id,
        version=event.version,
        accepted_at=to_timestamp(event.accepted_at),
        replay=event.replay,
    )
    match event.change:
        case Upsert(draft=draft, content=content):
            message.upsert.CopyFrom(_encode_upsert(draft, content))
        case Delete():
            message.delete.SetInParent()
        case SetAccess(principals=principals, security_level=level):
            message.set_access.access.principals.extend(principals)
            message.set_access.access.security_level = level
    return message.SerializeToString()


def decode_change(value: bytes) -> DocumentChange:
    """The event that was received. Raises InvalidRequest (MALFORMED_EVENT, INVALID_DOCUMENT_ID, INVALID_TENANT_ID)."""
    try:
        return _decode_change(events_pb2.DocumentChange.FromString(value))
    except (DecodeError, json_format.Error, ValueError, OverflowError, TypeError, KeyError):
        # Whatever somebody else's bytes say, they are one bad event and must not stop the worker.
        raise InvalidRequest("The event is not a document change.", reason="MALFORMED_EVENT") from None


def _decode_change(message: events_pb2.DocumentChange) -> DocumentChange:
    if not (0 < len(message.event_id) <= MAX_EVENT_ID_CHARACTERS and 0 < message.version <= MAX_VERSION):
        raise InvalidRequest("The event lacks its id or its version.", reason="MALFORMED_EVENT")
    change: Change
    match message.WhichOneof("change"):
        case "upsert":
            change = _decode_upsert(message)
        case "delete":
            change = Delete()
        case "set_access":
            access = message.set_access.access
            change = SetAccess(tuple(access.principals), access.security_level)
        case _:
            raise InvalidRequest("The event says no change that this version knows.", reason="MALFORMED_EVENT")
    key = DocumentKey(validate_tenant_id(message.tenant_id), validate_document_id(message.document_id))
    accepted_at = from_timestamp(message.accepted_at)
    return DocumentChange(message.event_id, key, message.version, accepted_at, change, message.replay)


def replayed_value(value: bytes, replay: int) -> bytes:
    """The event as it is appended for the ``replay``-th time; fields that this version does not know are kept."""
    message = events_pb2.DocumentChange.FromString(value)
    message.replay = replay
    return message.SerializeToString()


def to_timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """An aware datetime as protobuf."""
    since = moment - _EPOCH  # a fifth of the cost of Timestamp.FromDatetime
    return timestamp_pb2.Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def from_timestamp(stamp: timestamp_pb2.Timestamp) -> datetime:
    """A protobuf timestamp as aware UTC datetime."""
    return stamp.ToDatetime(tzinfo=UTC)


def _encode_upsert(draft: Draft, content: StoredContent) -> events_pb2.Upsert:
    message = events_pb2.Upsert(
        object_key=content.object_key,
        content_sha256=content.sha256,
        size_bytes=content.size_bytes,
        filename=draft.filename,
        media_type=draft.media_type,
        title=draft.title,
        doc_type=draft.doc_type,
        uri=draft.uri,
        access=common_pb2.Access(principals=draft.principals, security_level=draft.security_level),
    )
    json_format.Parse(metadata_to_json(draft.metadata), message.metadata)
    if draft.expires_at is not None:
        message.expires_at.CopyFrom(to_timestamp(draft.expires_at))
    return message


def _decode_upsert(message: events_pb2.DocumentChange) -> Upsert:
    upsert = message.upsert
    if not (upsert.object_key and upsert.content_sha256):
        raise InvalidRequest("The event does not say where the document's bytes are.", reason="MALFORMED_EVENT")
    draft = Draft(
        document_id=message.document_id,
        version=message.version,
        filename=upsert.filename,
        media_type=upsert.media_type,
        title=upsert.title,
        doc_type=upsert.doc_type,
        uri=upsert.uri,
        metadata=metadata_from_json(json_format.MessageToJson(upsert.metadata)),
        principals=tuple(upsert.access.principals),
        security_level=upsert.access.security_level,
        expires_at=from_timestamp(upsert.expires_at) if upsert.HasField("expires_at") else None,
    )
    return Upsert(draft, StoredContent(upsert.object_key, upsert.content_sha256, upsert.size_bytes))


def struct_of(metadata_json: str) -> struct_pb2.Struct:
    """Metadata as protobuf."""
    return json_format.Parse(metadata_json, struct_pb2.Struct())
