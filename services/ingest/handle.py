"""Handling one record of the event log: from its bytes to the terminal state of its change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog
from opentelemetry.trace import SpanKind, StatusCode

from chassis.clock import Clock
from chassis.errors import Conflict, Defect, Disposition, HeadwaterError, InvalidRequest, disposition_of
from chassis.eventlog.port import Record
from chassis.telemetry import current_trace_id, extract, tracer
from chassis.telemetry.metrics import INGEST_CHANGES, INGEST_DEAD_LETTERS, INGEST_LATENCY
from corpus.access import access_tokens
from corpus.domain import ChangeKind, ChangeRecord, ChangeState, DocumentKey
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
from ingest.known_bad import INGEST_HALTED, KnownBadFiles, is_registered
from ingest.ports import ChangeLog, DeadLetters, FailedEvent

_log = structlog.get_logger()
_tracer = tracer("ingest")

GIVE_UP_SECONDS = 2.0
"""Of a drain's budget: one head read as a rule."""


NEWEST_CHANGES = 20
"""Of a document, among which those of the other lane are looked for first."""
_SETTLED = frozenset(ChangeState) - {ChangeState.PENDING, ChangeState.DEAD_LETTERED}


@dataclass(slots=True)
class RecordInWork:
    """A record and how far its handling has come, over all attempts."""

    record: Record
    attempts: int = 0
    held: int = 0
    """Of the attempts, those that a halt ended before anything was tried."""
    attempts_before: int = 0
    """Those before an operator had the change tried again, once they are known."""
    are_counted: bool = False
    first_reason: str = ""
    first_failed_at: datetime | None = None
    """Of the first attempt that failed."""
    event: DocumentChange | None = None
    outcome: Outcome | None = None
    """How it ended; what may still be missing is that the ledger says so."""
    in_ledger: bool = False

    @property
    def tried(self) -> int:
        """Attempts that tried something."""
        return max(self.attempts - self.held, 1)


class Replays(Protocol):
    """Who wants to know how a change ended that was tried again."""

    async def settled(self, event_id: str, state: ChangeState) -> None:
        """The change has reached this state, which is terminal. Idempotent. Raises DependencyUnavailable."""
        ...


class Doubts(Protocol):
    """Whether rejections are the documents' fault."""

    async def judge(self, error: HeadwaterError, filename: str | None) -> None:
        """Returns when the rejection of a document of that name ("" if it has none) is to be believed; with None, that
        of a record which can't be read as an event. Raises DependencyUnavailable INGEST_HALTED when the event has to
        wait, and what a probe raises that could not be made."""
        ...


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
    doubts: Doubts | None = None
    known_bad: KnownBadFiles | None = None
    replays: Replays | None = None

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
                        await self._finish(work.event, work.outcome, work.attempts_before + work.tried)
                        work.in_ledger = True
                    if self.replays and work.event.replay and work.outcome.state in _SETTLED:
                        await self.replays.settled(work.event.event_id, work.outcome.state)
            except HeadwaterError as error:
                span.set_status(StatusCode.ERROR, error.reason)
                await self._failed(work, error)
                raise
            except Exception:
                # A defect stops the worker, again and again until somebody looks: the ledger says at what.
                await self._failed(work, Defect("The change fails in a way that only a mended release handles."))
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
                        if not belongs_to(work.event, await self.tenants.get(work.event.key.tenant_id)):
                            # Its row may have been written late, after the tenant's were removed. Whoever goes on with
                            # the event passes it over, and would leave the row pending for ever.
                            await self._finish(work.event, TENANT_GONE, work.attempts)
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
            if self.doubts is not None and not is_registered(error):
                await self.doubts.judge(error, _filename_of(work.event))
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
        if known.state is ChangeState.DEAD_LETTERED and event.replay > known.replays:
            known = await self.ledger.reopen(known.event_id, replay=event.replay) or known
        if event.replay and not work.are_counted:
            work.attempts_before, work.are_counted = known.attempts, True
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
                # As it came: a newer release may have written more into it than this one can read.
                await self.bulk.forward(work.record, Lane.BULK)
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
            for record in await self._changes_above(event.key, applied)
        )

    async def _readers_wait(self, event: DocumentChange) -> bool:
        """Whether a newer change of access is still to be applied: it has taken effect (see ``take_readers``), and
        must not lose it until its turn has come."""
        return any(
            record.kind is ChangeKind.SET_ACCESS
            and record.state is ChangeState.PENDING
            and record.version > event.version
            for record in await self._changes_above(event.key, event.version)
        )

    async def _changes_above(self, key: DocumentKey, version: int) -> Sequence[ChangeRecord]:
        """The document's changes of greater versions, perhaps with some others. Nearly always they are few."""
        limit = NEWEST_CHANGES
        while True:
            found = await self.ledger.newest(key, limit=limit)
            if len(found) < limit or found[-1].version <= version:
                return found
            limit *= 10

    async def _finish(self, event: DocumentChange, outcome: Outcome, attempts: int) -> None:
        now = self.clock.now()
        await self.ledger.finish(
            event.event_id, outcome.state, at=now, reason=outcome.reason, message=outcome.message, attempts=attempts
        )
        INGEST_CHANGES.add(kind=event.kind.value, state=outcome.state.value)
        if outcome.state is ChangeState.APPLIED:
            INGEST_LATENCY.record((now - event.accepted_at).total_seconds())

    async def _failed(self, work: RecordInWork, error: HeadwaterError) -> None:
        """Notes why the change is still open, so that whoever asks is told."""
        if error.reason == INGEST_HALTED:
            work.held += 1
        elif not work.first_reason:
            work.first_reason, work.first_failed_at = error.reason, self.clock.now()
        if work.event is None:
            return
        try:
            await self.ledger.note_failure(
                work.event.event_id,
                reason=error.reason,
                message=error.message,
                attempts=work.attempts_before + work.tried,
            )
        except HeadwaterError as second:
            _log.warning("failure_not_noted", reason=second.reason)

    async def _dead_letter(self, work: RecordInWork, error: HeadwaterError) -> Outcome:
        record = work.record
        if work.event is not None:
            # First: a second attempt would leave a second letter on the topic.
            await self.apply.call_off(work.event)
        content_key = ""
        if self.known_bad is not None and work.event is not None:
            content_key = await self.known_bad.note(work.event, error)
        await self.dead_letters.record(
            FailedEvent(
                topic=record.partition.topic,
                partition=record.partition.index,
                offset=record.offset,
                value=record.value or b"",
                reason=error.reason,
                attempts=work.tried,
                change=work.event,
                trace_id=current_trace_id(),
                message=error.message,
                key=record.key,
                headers=record.headers,
                has_value=record.value is not None,
                first_reason=work.first_reason,
                first_failed_at=work.first_failed_at,
                content_key=content_key,
                registered=is_registered(error),
            )
        )
        INGEST_DEAD_LETTERS.add(reason=error.reason)
        _log.warning(
            "dead_letter",
            reason=error.reason,
            partition=record.partition.index,
            offset=record.offset,
            attempts=work.tried,
            registered=is_registered(error),
        )
        return Outcome(ChangeState.DEAD_LETTERED, error.reason, error.message)


def _filename_of(event: DocumentChange | None) -> str | None:
    if event is None:
        return None
    return event.change.draft.filename if isinstance(event.change, Upsert) else ""


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
        replays=event.replay,
    )
