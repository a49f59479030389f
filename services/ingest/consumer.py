"""Worker edge: from records of the event log to `ApplyChange`, and from its outcome to the ledger and the committed
offset.

Documents are processed side by side; the changes of one document one after the other. An offset is committed when
everything before it in its partition is done. What to do about a failure is the error's own disposition
(`chassis.errors`): a bad document becomes a dead letter, a dependency that is down pauses the partition and the same
event is tried again, anything else stops the worker without committing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import structlog
from opentelemetry.trace import SpanKind, StatusCode

from chassis.clock import Clock
from chassis.errors import Conflict, Disposition, HeadwaterError, disposition_of
from chassis.eventlog.offsets import ContiguousOffsets
from chassis.eventlog.port import Consumer, Partition, Record
from chassis.telemetry import current_trace_id, extract, tracer
from chassis.telemetry.metrics import INGEST_CHANGES, INGEST_DEAD_LETTERS, INGEST_LATENCY
from corpus.domain import ChangeRecord, ChangeState
from corpus.ports import ChangeLedger
from ingest.apply import ApplyChange
from ingest.codec import decode_change
from ingest.domain import DocumentChange, Outcome, fingerprint
from ingest.ports import DeadLetters, FailedEvent

_log = structlog.get_logger()
_tracer = tracer("ingest")

POLL_SECONDS = 1.0
COMMIT_EVERY_SECONDS = 0.2
"""Bounds what a crash makes the next worker look at again; redelivered changes cost one head read each."""
FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 10.0


@dataclass(slots=True)
class ChangeConsumer:
    """Consumes document changes until it is stopped."""

    consumer: Consumer
    apply: ApplyChange
    ledger: ChangeLedger
    dead_letters: DeadLetters
    clock: Clock
    max_in_flight: int
    _offsets: ContiguousOffsets = field(default_factory=ContiguousOffsets)
    _last_of_key: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    _backing_off: Counter[Partition] = field(default_factory=Counter)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _failure: asyncio.Future[None] | None = None
    _stopping: bool = False

    async def run(self) -> None:
        """Consumes until cancelled, or until an event fails in a way that only a restart may mend (raised)."""
        self._failure = asyncio.get_running_loop().create_future()
        await self.consumer.start(self._on_revoked)
        committing = asyncio.create_task(self._commit_for_ever(), name="commit-offsets")
        try:
            await self._poll_for_ever(self._failure)
        finally:
            committing.cancel()
            for task in self._running:
                task.cancel()
            await asyncio.gather(committing, *self._running, return_exceptions=True)
            await self._commit()
            await self.consumer.stop()

    async def drain(self, seconds: float) -> None:
        """Takes no new record and waits, at most so long, for those in work."""
        self._stopping = True
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)

    async def _poll_for_ever(self, failure: asyncio.Future[None]) -> None:
        while True:
            if failure.done():
                failure.result()
            room = 0 if self._stopping else self.max_in_flight - len(self._running)
            if room <= 0:
                await asyncio.wait({*self._running, failure}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                continue
            polled = asyncio.ensure_future(self.consumer.poll(room, POLL_SECONDS))
            await asyncio.wait({polled, failure}, return_when=asyncio.FIRST_COMPLETED)
            if not polled.done():
                polled.cancel()
            for record in await polled:
                self._start(record)

    def _start(self, record: Record) -> None:
        self._offsets.start(record.partition, record.offset)
        before = self._last_of_key.get(record.key)
        task = asyncio.create_task(self._handle_in_order(record, before), name="apply-change")
        self._last_of_key[record.key] = task
        self._running.add(task)
        task.add_done_callback(lambda done: self._finished(record, done))

    def _finished(self, record: Record, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._last_of_key.get(record.key) is task:
            del self._last_of_key[record.key]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._offsets.done(record.partition, record.offset)
        elif self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _handle_in_order(self, record: Record, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            # Only its end matters here: its failure stops the worker on its own account.
            await asyncio.wait({before})
            if before.cancelled() or before.exception() is not None:
                raise asyncio.CancelledError
        attempts = 0
        while True:
            attempts += 1
            try:
                await self._attempt(record, attempts)
                return
            except HeadwaterError as error:
                if disposition_of(error) is not Disposition.BACK_OFF:
                    raise
                await self._back_off(record.partition, error, attempts)

    async def _attempt(self, record: Record, attempts: int) -> None:
        with _tracer.start_as_current_span(
            "process document-changes", context=extract(record.headers), kind=SpanKind.CONSUMER
        ) as span:
            span.set_attribute("messaging.destination.name", record.partition.topic)
            span.set_attribute("messaging.destination.partition.id", str(record.partition.index))
            span.set_attribute("messaging.kafka.offset", record.offset)
            event: DocumentChange | None = None
            try:
                event = decode_change(record.value or b"")
                span.set_attribute("headwater.change.kind", event.kind.value)
                outcome = await self._known_end(event) or await self.apply.apply(event)
            except HeadwaterError as error:
                span.set_status(StatusCode.ERROR, error.reason)
                if disposition_of(error) is not Disposition.DEAD_LETTER:
                    if event is not None and disposition_of(error) is Disposition.BACK_OFF:
                        await self._note(event, error, attempts)
                    raise
                outcome = await self._dead_letter(record, event, error, attempts)
            span.set_attribute("headwater.change.outcome", outcome.state.value)
            if event is not None:
                await self._finish(event, outcome, attempts)

    async def _finish(self, event: DocumentChange, outcome: Outcome, attempts: int) -> None:
        now = self.clock.now()
        await self.ledger.finish(
            event.event_id, outcome.state, at=now, reason=outcome.reason, message=outcome.message, attempts=attempts
        )
        INGEST_CHANGES.add(kind=event.kind.value, state=outcome.state.value)
        if outcome.state is ChangeState.APPLIED:
            INGEST_LATENCY.record((now - event.accepted_at).total_seconds())

    async def _known_end(self, event: DocumentChange) -> Outcome | None:
        """Makes sure that the ledger knows the event. A dead letter that is redelivered stays the one that it is."""
        try:
            known = await self.ledger.accept(_accepted(event))
        except Conflict:
            # Another event has this version with other content; the head's version decides which of them came first.
            return None
        if known.event_id == event.event_id and known.state is ChangeState.DEAD_LETTERED:
            return Outcome(known.state, known.reason, known.message)
        return None

    async def _note(self, event: DocumentChange, error: HeadwaterError, attempts: int) -> None:
        try:
            await self.ledger.note_failure(
                event.event_id, reason=error.reason, message=error.message, attempts=attempts
            )
        except HeadwaterError as second:
            _log.warning("failure_not_noted", reason=second.reason)

    async def _dead_letter(
        self, record: Record, event: DocumentChange | None, error: HeadwaterError, attempts: int
    ) -> Outcome:
        await self.dead_letters.record(
            FailedEvent(
                topic=record.partition.topic,
                partition=record.partition.index,
                offset=record.offset,
                value=record.value or b"",
                reason=error.reason,
                attempts=attempts,
                change=event,
                trace_id=current_trace_id(),
            )
        )
        INGEST_DEAD_LETTERS.add(reason=error.reason)
        _log.warning(
            "dead_letter",
            reason=error.reason,
            partition=record.partition.index,
            offset=record.offset,
            attempts=attempts,
        )
        return Outcome(ChangeState.DEAD_LETTERED, error.reason, error.message)

    async def _back_off(self, partition: Partition, error: HeadwaterError, attempts: int) -> None:
        wait = min(LONGEST_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * 2 ** min(attempts - 1, 10))
        _log.warning("backing_off", reason=error.reason, partition=partition.index, seconds=wait, attempts=attempts)
        self._backing_off[partition] += 1
        self.consumer.pause({partition})
        try:
            await asyncio.sleep(max(wait, min(error.retry_after_seconds or 0, LONGEST_BACK_OFF_SECONDS)))
        finally:
            self._backing_off[partition] -= 1
            if not self._backing_off[partition]:
                del self._backing_off[partition]
                self.consumer.resume({partition})

    async def _on_revoked(self, partitions: Collection[Partition]) -> None:
        """Another member goes on with these: what is in work there is given up, what is done is committed."""
        await self._commit()
        self._offsets.forget(partitions)

    async def _commit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_SECONDS)
            try:
                await self._commit()
            except HeadwaterError as error:
                _log.warning("commit_failed", reason=error.reason)

    async def _commit(self) -> None:
        offsets = self._offsets.committable()
        if offsets:
            await self.consumer.commit(offsets)
            self._offsets.mark_committed(offsets)


def _accepted(event: DocumentChange) -> ChangeRecord:
    return ChangeRecord(
        event_id=event.event_id,
        key=event.key,
        version=event.version,
        kind=event.kind,
        state=ChangeState.PENDING,
        accepted_at=event.accepted_at,
        fingerprint=fingerprint(event.change),
        trace_id=current_trace_id(),
    )
