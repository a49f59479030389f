"""Dead letters as nouns of ingestion: how a failed event becomes a letter, and what is kept of its record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from corpus.dead_letters import Letter, LetterState
from corpus.ids import length_prefixed
from headwater.events.v1 import events_pb2
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC
from ingest.domain import Upsert
from ingest.ports import FailedEvent

LETTER_HEADER: Final = "headwater-letter"
"""On a record that was appended again as it is: names the letter that it comes from."""
_MAX_ID_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record of the log as it was received."""

    key: bytes
    value: bytes | None
    headers: dict[str, bytes] = field(default_factory=dict)


def letter_id_of(event: FailedEvent) -> str:
    """The change's event id, the letter that a record of another system was replayed from, or else a hash that the same
    record always has: offsets alone begin anew when a topic is made anew."""
    if event.change is not None:
        return event.change.event_id
    named = event.headers.get(LETTER_HEADER, b"")
    if event.topic not in (CHANGES_TOPIC, BULK_CHANGES_TOPIC) and 0 < len(named) <= _MAX_ID_BYTES and named.isascii():
        return named.decode()
    where = (event.topic, str(event.partition), str(event.offset))
    digest = hashlib.sha256(length_prefixed(where) + len(event.key).to_bytes(4, "big") + event.key + event.value)
    return digest.hexdigest()[:32]


def event_object_key(event: FailedEvent) -> str:
    """Object key of a failed event's record. No tenant's name is a dash."""
    tenant = event.change.key.tenant_id if event.change else "-"
    return f"dead-letters/{tenant}/{hashlib.sha256(letter_id_of(event).encode()).hexdigest()}"


def is_of(letter: Letter, event: FailedEvent) -> bool:
    """Whether the letter tells of just this record, which is handled once more after a crash."""
    return (letter.topic, letter.partition, letter.offset) == (event.topic, event.partition, event.offset)


def without_claim(event: FailedEvent) -> FailedEvent:
    """The event as one that names no letter."""
    return replace(event, headers={name: text for name, text in event.headers.items() if name != LETTER_HEADER})


def letter_of(event: FailedEvent, known: Letter | None, now: datetime) -> Letter:
    """The letter that an event leaves, over the one that it left before it was replayed."""
    change = event.change
    made = Letter(
        letter_id=letter_id_of(event),
        state=LetterState.OPEN,
        tenant_id=change.key.tenant_id if change else "",
        document_id=change.key.document_id if change else "",
        version=change.version if change else 0,
        kind=change.kind if change else None,
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        first_reason=event.first_reason or event.reason,
        first_failed_at=event.first_failed_at or now,
        reason=event.reason,
        message=event.message,
        last_failed_at=now,
        attempts=event.attempts,
        replays=change.replay if change else 0,
        trace_id=event.trace_id,
        object_key=change.change.content.object_key if change and isinstance(change.change, Upsert) else "",
        event_key=event_object_key(event),
        event_bytes=len(event.value),
        content_key=event.content_key,
        registered=event.registered,
    )
    if known is None:
        return made
    return replace(
        made,
        first_reason=known.first_reason,
        first_failed_at=known.first_failed_at,
        attempts=known.attempts + event.attempts,
        replays=max(known.replays, made.replays),
        decided_by=known.decided_by,
        decided_at=known.decided_at,
        why=known.why,
    )


def encode_record(record: KeptRecord) -> bytes:
    """The record as the object store keeps it."""
    message = events_pb2.KeptRecord(key=record.key, value=record.value)
    for name, value in record.headers.items():
        message.headers[name] = value
    return message.SerializeToString()


def decode_record(data: bytes) -> KeptRecord:
    """Inverse of ``encode_record``."""
    message = events_pb2.KeptRecord.FromString(data)
    value = message.value if message.HasField("value") else None
    return KeptRecord(message.key, value, dict(message.headers))
