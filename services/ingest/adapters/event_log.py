"""The event log behind the ports ChangeLog, HeadFeed and DeadLetters."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from chassis.clock import Clock
from chassis.eventlog.port import Consumer, Producer, Record
from chassis.telemetry import inject
from corpus.domain import Announcement, CalledOff, DocumentKey, Head, Hold
from corpus.feed import (
    HEADS_TOPIC,
    encode_announcement,
    encode_head,
    encode_hold,
    encode_hold_announcement,
    hold_key,
    record_key,
)
from headwater.events.v1 import events_pb2
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, DEAD_LETTERS_TOPIC, encode_change, key_bytes, to_timestamp
from ingest.dead_letters.letters import event_object_key, letter_id_of
from ingest.domain import DocumentChange, Lane, Upsert
from ingest.ports import FailedEvent

SOURCE = "headwater/ingest"
MAX_EVENT_BYTES = 4 * 1024 * 1024
"""Of an event that its dead letter holds a copy of: half of what Kafka takes."""
TOPIC_OF = {Lane.LIVE: CHANGES_TOPIC, Lane.BULK: BULK_CHANGES_TOPIC}
"""Where the changes of a lane wait."""


def _headers(event_type: str, event_id: str, at: datetime) -> dict[str, bytes]:
    """CloudEvents 1.0 attributes in binary mode (Kafka protocol binding) and the trace context (W3C)."""
    headers = {
        "ce_specversion": b"1.0",
        "ce_id": event_id.encode(),
        "ce_source": SOURCE.encode(),
        "ce_type": event_type.encode(),
        "ce_time": at.isoformat().encode(),
        "content-type": b"application/protobuf",
    }
    inject(headers)
    return headers


class EventLogChangeLog:
    """Appends changes to a topic per lane; ``worker_views`` are of the workers' group, whose lag is reported."""

    def __init__(self, producer: Producer, worker_views: Mapping[Lane, Consumer]) -> None:
        self._producer = producer
        self._worker_views = worker_views

    async def append(self, change: DocumentChange, lane: Lane = Lane.LIVE) -> None:
        """See the port."""
        headers = _headers("headwater.document-change.v1", change.event_id, change.accepted_at)
        await self._producer.append(TOPIC_OF[lane], key_bytes(change.key), encode_change(change), headers)

    async def forward(self, record: Record, lane: Lane) -> None:
        """See the port."""
        await self._producer.append(TOPIC_OF[lane], record.key, record.value, record.headers)

    async def lag(self) -> Mapping[Lane, int]:
        """See the port."""
        return {lane: sum((await view.lag()).values()) for lane, view in self._worker_views.items()}


class EventLogHeadFeed:
    """Publishes heads on the compacted topic.

    Args:
        producer: Of the log.
        clock: For the records' headers.
        has_replicas: Whether anybody keeps heads. Embedded nobody does, and an announcement costs nothing.
    """

    def __init__(self, producer: Producer, clock: Clock, *, has_replicas: bool) -> None:
        self._producer = producer
        self._clock = clock
        self._has_replicas = has_replicas

    async def announce(self, announcement: Announcement) -> None:
        """See the port."""
        await self._say("headwater.head-announced.v1", announcement)

    async def call_off(self, announcement: CalledOff) -> None:
        """See the port."""
        await self._say("headwater.head-called-off.v1", announcement)

    async def publish(self, head: Head) -> None:
        """See the port."""
        headers = _headers("headwater.head-changed.v1", head.event_id, head.updated_at)
        key = record_key(head.key.tenant_id, head.key.document_id)
        await self._producer.append(HEADS_TOPIC, key, encode_head(head), headers)

    async def announce_hold(self, hold: Hold, before: Hold | None) -> None:
        """See the port."""
        if self._has_replicas:
            headers = _headers("headwater.hold-announced.v1", str(uuid.uuid4()), hold.changed_at)
            await self._producer.append(
                HEADS_TOPIC, hold_key(hold.key), encode_hold_announcement(hold, before), headers
            )

    async def keep_hold(self, hold: Hold) -> None:
        """See the port."""
        headers = _headers("headwater.hold-changed.v1", str(uuid.uuid4()), hold.changed_at)
        await self._producer.append(HEADS_TOPIC, hold_key(hold.key), encode_hold(hold), headers)

    async def forget_hold(self, key: DocumentKey) -> None:
        """See the port."""
        await self._forget(hold_key(key))

    async def forget(self, key: DocumentKey) -> None:
        """See the port."""
        await self._forget(record_key(key.tenant_id, key.document_id))

    async def forget_tenant(self, tenant_id: str) -> None:
        """See the port."""
        await self._forget(record_key(tenant_id))

    async def _say(self, event_type: str, said: Announcement | CalledOff) -> None:
        if self._has_replicas:
            headers = _headers(event_type, str(uuid.uuid4()), self._clock.now())
            key = record_key(said.key.tenant_id, said.key.document_id)
            await self._producer.append(HEADS_TOPIC, key, encode_announcement(said), headers)

    async def _forget(self, key: bytes) -> None:
        headers = _headers("headwater.head-forgotten.v1", str(uuid.uuid4()), self._clock.now())
        await self._producer.append(HEADS_TOPIC, key, None, headers)


class EventLogDeadLetters:
    """Records dead letters on their topic, keyed by their ids. Not idempotent: a repeated call leaves a second copy."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        self._producer = producer
        self._clock = clock

    async def record(self, event: FailedEvent) -> None:
        """See the port."""
        now = self._clock.now()
        letter_id = letter_id_of(event)
        message = events_pb2.DeadLetter(
            topic=event.topic,
            partition=event.partition,
            offset=event.offset,
            reason=event.reason,
            attempts=event.attempts,
            first_failed_at=to_timestamp(event.first_failed_at or now),
            last_failed_at=to_timestamp(now),
            trace_id=event.trace_id,
            event=event.value,
            letter_id=letter_id,
            first_reason=event.first_reason or event.reason,
            event_object_key=event_object_key(event),
            registered=event.registered,
        )
        change = event.change
        if change is not None:
            message.event_id = change.event_id
            message.tenant_id = change.key.tenant_id
            message.document_id = change.key.document_id
            message.version = change.version
            if isinstance(change.change, Upsert):
                message.object_key = change.change.content.object_key
        if len(event.value) > MAX_EVENT_BYTES:
            # A letter larger than the log takes would be tried for ever, and everything behind it would wait. The event
            # is in the object store.
            message.ClearField("event")
        headers = _headers("headwater.dead-letter.v1", letter_id, now)
        await self._producer.append(DEAD_LETTERS_TOPIC, letter_id.encode(), message.SerializeToString(), headers)
