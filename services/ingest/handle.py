"""Handling one record of the event log: from its bytes to the terminal state of its change."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog
from opentelemetry.trace import SpanKind, StatusCode

from chassis.clock import Clock
from chassis.errors import Conflict, Disposition, HeadwaterError, InvalidRequest, disposition_of
from chassis.eventlog.port import Record
from chassis.telemetry import current_trace_id, extract, tracer
from chassis.telemetry.metrics import INGEST_CHANGES, INGEST_DEAD_LETTERS, INGEST_LATENCY
from corpus.access import access_tokens
from corpus.domain import ChangeKind, ChangeRecord, ChangeState
from corpus.ports import ChangeLedger, Tenants
from ingest.apply import ApplyChange
from ingest.codec import decode_change, key_bytes
from ingest.domain import (
    TENANT_GONE,
    DocumentChange,
    Lane,
    Outcome,
    SetAccess,
    Upsert,
    belongs_to,
    fingerprint,
)
from ingest.ports import ChangeLog, DeadLetters, FailedEvent

_log = structlog.get_logger()
_tracer = tracer("ingest")

GIVE_UP_SECONDS = 2.0
"""Of a drain's budget: one head read as a rule."""


NEWEST_CHANGES = 20
"""Of a document, among which those of the other lane are looked for."""


@dataclass(slots=True)
class RecordInWork:
    """A record and how far its handling has come, over all attempts."""

    record: Record
    attempts: int = 0
    event: DocumentChange | None = None
    outcome: Outcome | None = None
    """How it ended; what may still be missing is that the ledger says so."""
    in_ledger: bool = False


@dataclass(frozen=True, slots=True)
class HandleRecord:
    """Use case of the worker's edge."""

    tenants: Tenants
    ledger: ChangeLedger
    apply: ApplyChange
    dead_letters: DeadLetters
    clock: Clock
    bulk: ChangeLog | None = None
    """In the live lane: where a change of access goes that has to wait for an upsert in the bulk lane. None: this is
    the bulk lane."""

    async def attempt(self, work: RecordInWork) -> None:
        """Brings the record to its end, once. Raises an error whose disposition is BACK_OFF when it must be attempted
        again with the same ``work``, and one with STOP when only a restart may help. Bad events end as dead letters,
        and raise nothing."""
        work.attempts += 1
        record = work.record
        with _tracer.start_as_current_span(
            "process document-changes", context=extract(record.headers), kind=SpanKind.CONSUMER
        ) as span:
            span.set_attribute("messaging.destination.name", record.partition.topic)
            span.set_attribute("messaging.destination.partition.id", str(record.partition.index))
            span.set_attribute("messaging.kafka.offset", record.offset)
            try:
                if work.outcome is None:
                    work.outcome = await self._settle(work)
                if work.event is not None:
                    span.set_attribute("headwater.change.kind", work.event.kind.value)
                    if not work.in_ledger:
                        await self._finish(work.event, work.outcome, work.attempts)
            except HeadwaterError as error:
                span.set_status(StatusCode.ERROR, error.reason)
                if work.event is not None and disposition_of(error) is Disposition.BACK_OFF:
                    await self._note(work.event, error, work.attempts)
                raise
            span.set_attribute("headwater.change.outcome", work.outcome.state.value)

    async def give_up(self, work: RecordInWork) -> None:
        """Tidies, for a bounded time, after attempts of which the last one was cancelled."""
        if work.event is None or work.outcome is not None:
            return
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                while True:
                    try:
                        await self.apply.give_up(work.event)
                    except HeadwaterError:
                        await asyncio.sleep(GIVE_UP_SECONDS / 20)
                    else:
                        return
        except TimeoutError:
            _log.warning("given_up_untidily", event_id=work.event.event_id)

    async def _settle(self, work: RecordInWork) -> Outcome:
        try:
            event = decode_change(work.record.value or b"")
            if key_bytes(event.key) != work.record.key:
                raise InvalidRequest("The event is not of the document that its key names.", reason="MALFORMED_EVENT")
            work.event = event
            return await self._apply_once(event, work)
        except HeadwaterError as error:
            if disposition_of(error) is not Disposition.DEAD_LETTER:
                raise
            return await self._dead_letter(work, error)

    async def _apply_once(self, event: DocumentChange, work: RecordInWork) -> Outcome:
        if not belongs_to(event, await self.tenants.get(event.key.tenant_id)):
            await self.apply.withdraw(event)
            return TENANT_GONE
        try:
            known = await self.ledger.accept(pending_record(event))
        except Conflict as conflict:
            # Two changes were accepted with one version at the same time. The ledger says which of them is the change;
            # the other one's caller was told.
            return Outcome(ChangeState.DUPLICATE, conflict.reason, conflict.message)
        if known.state is not ChangeState.PENDING:
            work.in_ledger = True
            return Outcome(known.state, known.reason, known.message)
        # After an unknown outcome the same change may have been appended twice. Whichever copy comes first is handled,
        # at its place in the order, under the id that the ledger knows.
        work.event = event = replace(event, event_id=known.event_id)
        again = work.attempts > 1
        match event.change:
            case SetAccess(principals=principals, security_level=level) if self.bulk and await self._is_early(event):
                await self.apply.take_readers(event, access_tokens(event.key.tenant_id, principals), level)
                await self.bulk.append(event, Lane.BULK)
                work.in_ledger = True
                return Outcome(ChangeState.PENDING)
            case Upsert() if self.bulk is None:
                outcome = await self.apply.apply(event, again=again, readers_wait=lambda: self._readers_wait(event))
                if outcome.state is ChangeState.APPLIED and await self._readers_wait(event):
                    # The live lane took it up at this very moment, and saw the head before it was written.
                    await self.apply.take_readers(event)
                return outcome
        return await self.apply.apply(event, again=again)

    async def _is_early(self, event: DocumentChange) -> bool:
        """Whether an older upsert of the document is still to be applied. All changes of the document in this lane are
        in order, so it is in the other one. To be applied first would make it superseded, and its content lost."""
        head = await self.apply.heads.get(event.key)
        applied = head.version if head else 0
        return any(
            record.kind is ChangeKind.UPSERT
            and record.state is ChangeState.PENDING
            and applied < record.version < event.version
            for record in await self.ledger.newest(event.key, limit=NEWEST_CHANGES)
        )

    async def _readers_wait(self, event: DocumentChange) -> bool:
        """Whether a newer change of access is still to be applied: it has taken effect (see ``take_readers``), and
        must not lose it until its turn has come."""
        return any(
            record.kind is ChangeKind.SET_ACCESS
            and record.state is ChangeState.PENDING
            and record.version > event.version
            for record in await self.ledger.newest(event.key, limit=NEWEST_CHANGES)
        )

    async def _finish(self, event: DocumentChange, outcome: Outcome, attempts: int) -> None:
        now = self.clock.now()
        await self.ledger.finish(
            event.event_id, outcome.state, at=now, reason=outcome.reason, message=outcome.message, attempts=attempts
        )
        INGEST_CHANGES.add(kind=event.kind.value, state=outcome.state.value)
        if outcome.state is ChangeState.APPLIED:
            INGEST_LATENCY.record((now - event.accepted_at).total_seconds())

    async def _note(self, event: DocumentChange, error: HeadwaterError, attempts: int) -> None:
        try:
            await self.ledger.note_failure(
                event.event_id, reason=error.reason, message=error.message, attempts=attempts
            )
        except HeadwaterError as second:
            _log.warning("failure_not_noted", reason=second.reason)

    async def _dead_letter(self, work: RecordInWork, error: HeadwaterError) -> Outcome:
        record = work.record
        if work.event is not None:
            # First: a second attempt would leave a second letter.
            await self.apply.call_off(work.event)
        await self.dead_letters.record(
            FailedEvent(
                topic=record.partition.topic,
                partition=record.partition.index,
                offset=record.offset,
                value=record.value or b"",
                reason=error.reason,
                attempts=work.attempts,
                change=work.event,
                trace_id=current_trace_id(),
            )
        )
        INGEST_DEAD_LETTERS.add(reason=error.reason)
        _log.warning(
            "dead_letter",
            reason=error.reason,
            partition=record.partition.index,
            offset=record.offset,
            attempts=work.attempts,
        )
        return Outcome(ChangeState.DEAD_LETTERED, error.reason, error.message)


def pending_record(event: DocumentChange) -> ChangeRecord:
    """The ledger row of a change that is not applied yet."""
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
