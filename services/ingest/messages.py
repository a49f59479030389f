"""Between protobuf messages of the API and the domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from google.protobuf import json_format

from chassis.errors import InvalidRequest
from chassis.identity import Caller, Scope
from corpus.access import validate_principal
from corpus.domain import ChangeKind, ChangeRecord, ChangeState, FieldType, Head, HeadState, Tenant
from corpus.ids import validate_document_id, validate_tenant_name
from corpus.metadata import metadata_to_json, validate_declaration, validate_metadata
from headwater.common.v1 import common_pb2
from headwater.ingest.v1 import ingest_pb2
from ingest.codec import from_timestamp, struct_of, to_timestamp
from ingest.domain import Draft, Lane, Receipt
from ingest.service import IngestStatus

MAX_TEXT_BYTES = 2_048
"""Of a title, a file name, a media type, a document type or a URI."""
MAX_PRINCIPALS = 10_000
"""A longer access list belongs into a group."""

STATES = {
    ChangeState.PENDING: ingest_pb2.CHANGE_STATE_PENDING,
    ChangeState.APPLIED: ingest_pb2.CHANGE_STATE_APPLIED,
    ChangeState.SUPERSEDED: ingest_pb2.CHANGE_STATE_SUPERSEDED,
    ChangeState.DUPLICATE: ingest_pb2.CHANGE_STATE_DUPLICATE,
    ChangeState.DEAD_LETTERED: ingest_pb2.CHANGE_STATE_DEAD_LETTERED,
    ChangeState.DISCARDED: ingest_pb2.CHANGE_STATE_DISCARDED,
}
KINDS = {
    ChangeKind.UPSERT: ingest_pb2.CHANGE_KIND_UPSERT,
    ChangeKind.DELETE: ingest_pb2.CHANGE_KIND_DELETE,
    ChangeKind.SET_ACCESS: ingest_pb2.CHANGE_KIND_SET_ACCESS,
}
_FIELD_TYPES = {
    FieldType.STRING: common_pb2.FIELD_TYPE_STRING,
    FieldType.NUMBER: common_pb2.FIELD_TYPE_NUMBER,
    FieldType.BOOLEAN: common_pb2.FIELD_TYPE_BOOLEAN,
    FieldType.TIMESTAMP: common_pb2.FIELD_TYPE_TIMESTAMP,
    FieldType.VERSION: common_pb2.FIELD_TYPE_VERSION,
    FieldType.STRING_LIST: common_pb2.FIELD_TYPE_STRING_LIST,
    FieldType.NUMBER_LIST: common_pb2.FIELD_TYPE_NUMBER_LIST,
}
_FIELD_TYPE_OF = {number: field_type for field_type, number in _FIELD_TYPES.items()}


def document_id(text: str) -> str:
    """Raises InvalidRequest unless ``text`` can be a document's id."""
    return validate_document_id(text)


def tenant_name(text: str) -> str:
    """Raises InvalidRequest unless ``text`` can be a tenant's name."""
    return validate_tenant_name(text)


def principals(access: common_pb2.Access) -> tuple[str, ...]:
    """Validated and without repetition. Raises InvalidRequest."""
    if len(access.principals) > MAX_PRINCIPALS:
        raise InvalidRequest(
            f"An access list has at most {MAX_PRINCIPALS} principals; use groups.", reason="TOO_MANY_PRINCIPALS"
        )
    return tuple(dict.fromkeys(validate_principal(principal) for principal in access.principals))


def lane_of(message: ingest_pb2.DocumentDraft) -> Lane:
    """The lane that a draft asks for."""
    return Lane.BULK if message.lane == ingest_pb2.LANE_BULK else Lane.LIVE


def draft_of(message: ingest_pb2.DocumentDraft, tenant: Tenant | None) -> Draft:
    """A validated draft. Raises InvalidRequest. An unknown tenant is refused later, by the use case."""
    for name in ("filename", "media_type", "title", "doc_type", "uri"):
        if len(getattr(message, name).encode()) > MAX_TEXT_BYTES:
            raise InvalidRequest(f"The {name} is longer than {MAX_TEXT_BYTES} bytes.", reason="FIELD_TOO_LONG")
    try:
        raw: Mapping[str, object] = json_format.MessageToDict(message.metadata)
        expires_at = from_timestamp(message.expires_at) if message.HasField("expires_at") else None
    except (json_format.Error, ValueError, OverflowError):
        # Not a number, nested without end, a year that no calendar has.
        raise InvalidRequest(
            "The metadata or the expiry holds a value that can't be represented.", reason="INVALID_METADATA"
        ) from None
    return Draft(
        document_id=validate_document_id(message.document_id),
        version=message.version,
        filename=message.filename,
        media_type=message.media_type,
        title=message.title,
        doc_type=message.doc_type,
        uri=message.uri,
        metadata=validate_metadata(raw, tenant.fields if tenant else {}),
        principals=principals(message.access),
        security_level=message.access.security_level,
        expires_at=expires_at,
    )


def declarations(fields: Iterable[common_pb2.FieldDeclaration]) -> Mapping[str, FieldType]:
    """Validated declarations. Raises InvalidRequest."""
    declared: dict[str, FieldType] = {}
    for field in fields:
        if field.type not in _FIELD_TYPE_OF:
            raise InvalidRequest(f"The field {field.name[:64]} has no type.", reason="FIELD_TYPE_MISSING")
        declared[field.name] = _FIELD_TYPE_OF[field.type]
    return validate_declaration(declared)


def receipt(receipt: Receipt) -> ingest_pb2.ChangeReceipt:
    """A receipt as protobuf."""
    return ingest_pb2.ChangeReceipt(
        event_id=receipt.event_id,
        document_id=receipt.document_id,
        version=receipt.version,
        outcome=ingest_pb2.ACCEPT_OUTCOME_UNCHANGED if receipt.unchanged else ingest_pb2.ACCEPT_OUTCOME_ACCEPTED,
        trace_id=receipt.trace_id,
    )


def change(record: ChangeRecord) -> ingest_pb2.Change:
    """A ledger row as protobuf."""
    message = ingest_pb2.Change(
        event_id=record.event_id,
        document_id=record.key.document_id,
        version=record.version,
        kind=KINDS[record.kind],
        state=STATES[record.state],
        reason=record.reason,
        message=record.message,
        attempts=record.attempts,
        accepted_at=to_timestamp(record.accepted_at),
        trace_id=record.trace_id,
    )
    if record.finished_at is not None:
        message.finished_at.CopyFrom(to_timestamp(record.finished_at))
    return message


def document(
    document_id: str, head: Head | None, changes: Sequence[ChangeRecord], caller: Caller
) -> ingest_pb2.Document:
    """A document as its reader may see it: the access list only with the write scope."""
    if head is None:
        version = changes[0].version if changes else 0
        return ingest_pb2.Document(document_id=document_id, version=version, state=ingest_pb2.DOCUMENT_STATE_PENDING)
    message = ingest_pb2.Document(
        document_id=document_id,
        version=head.version,
        state=_state_of(head),
        title=head.title,
        doc_type=head.doc_type,
        uri=head.uri,
        language=head.language,
        media_type=head.media_type,
        metadata=struct_of(metadata_to_json(head.metadata)),
        updated_at=to_timestamp(head.updated_at),
        chunks=head.chunk_count,
        size_bytes=head.size_bytes,
        content_sha256=head.content_sha256,
        ingest_trace_id=head.ingest_trace_id,
        generation=head.generation,
    )
    if Scope.WRITE in caller.scopes:
        message.access.principals.extend(head.principals)
        message.access.security_level = head.access.security_level
    if head.expires_at is not None:
        message.expires_at.CopyFrom(to_timestamp(head.expires_at))
    return message


def _state_of(head: Head) -> ingest_pb2.DocumentState.ValueType:
    if head.state is not HeadState.LIVE:
        return ingest_pb2.DOCUMENT_STATE_DELETED
    return ingest_pb2.DOCUMENT_STATE_HELD if head.held else ingest_pb2.DOCUMENT_STATE_LIVE


def status(status: IngestStatus, list_limit: int) -> ingest_pb2.GetIngestStatusResponse:
    """Where ingestion stands, as protobuf."""
    message = ingest_pb2.GetIngestStatusResponse(
        lag=sum(status.lag.values()),
        bulk_lag=status.lag.get(Lane.BULK, 0),
        live_documents=status.counts.documents,
        live_chunks=status.counts.chunks,
        live_tokens=status.counts.tokens,
        change_counts=[
            ingest_pb2.StateCount(state=STATES[state], count=count) for state, count in status.change_counts.items()
        ],
        oldest_pending=[change(record) for record in status.oldest_pending[:list_limit]],
        newest_dead_letters=[change(record) for record in status.newest_dead_letters],
        generation=status.generation,
    )
    if status.oldest_pending:
        message.oldest_pending_accepted_at.CopyFrom(to_timestamp(oldest(status.oldest_pending)))
    return message


def oldest(records: Sequence[ChangeRecord]) -> datetime:
    """When the oldest of these changes was accepted."""
    return min(record.accepted_at for record in records)


def tenant(tenant: Tenant) -> common_pb2.Tenant:
    """A tenant as protobuf."""
    return common_pb2.Tenant(
        tenant_id=tenant.name,
        fields=[
            common_pb2.FieldDeclaration(name=name, type=_FIELD_TYPES[field_type])
            for name, field_type in sorted(tenant.fields.items())
        ],
        created_at=to_timestamp(tenant.created_at),
    )
