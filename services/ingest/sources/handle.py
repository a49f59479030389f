"""Handling one record of the topic of sources: from its bytes to accepted changes, or to a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from opentelemetry.trace import SpanKind, StatusCode

from chassis.clock import Clock
from chassis.errors import Conflict, Disposition, HeadwaterError, NotFound, disposition_of
from chassis.identity import Caller, Scope
from chassis.telemetry import current_trace_id, extract, tracer
from chassis.telemetry.metrics import INGEST_DEAD_LETTERS, INGEST_SOURCE_CHANGES
from corpus.domain import ChangeState, DocumentKey, Tenant
from corpus.ids import validate_document_id, validate_tenant_name
from corpus.ports import ChangeLedger, Tenants
from ingest.accept import AcceptChanges
from ingest.domain import Outcome
from ingest.handle import RecordInWork
from ingest.known_bad import INGEST_HALTED
from ingest.ports import DeadLetters, FailedEvent
from ingest.rejections import RejectionBreaker
from ingest.sources.drafts import draft_of
from ingest.sources.mapping import Sources
from ingest.sources.model import Described, RemoteObject, SourceChange, SourceRecord
from ingest.sources.read import read_record
from ingest.sources.s3_events import gone

SOURCE_OBJECT_MISSING = "SOURCE_OBJECT_MISSING"
_BIG_RECORD_BYTES = 64 * 1024
"""JSON takes the loop a millisecond up to here."""

_log = structlog.get_logger()
_tracer = tracer("ingest")


class SourceBuckets(Protocol):
    """Buckets of sources, which are read and never written."""

    def read(self, source: str, key: str) -> AsyncIterator[bytes]:
        """The object's bytes, piece by piece. Has no effect, so it may be repeated. Raises NotFound
        SOURCE_OBJECT_MISSING and InvalidRequest BAD_OBJECT_KEY and OBJECT_FORBIDDEN before the first piece,
        DependencyUnavailable at any."""
        ...


@dataclass(frozen=True, slots=True)
class HandleSourceRecord:
    """Use case of the consumer of sources.

    A record's changes are accepted like anybody's, with the source's own versions: a record that is delivered again
    finds them accepted, and records in the wrong order leave the greatest version of each document.
    """

    sources: Sources
    tenants: Tenants
    ledger: ChangeLedger
    accept: AcceptChanges
    buckets: SourceBuckets
    dead_letters: DeadLetters
    clock: Clock
    breaker: RejectionBreaker | None = None
    """Halts when too many records are refused."""

    async def attempt(self, work: RecordInWork) -> None:
        """Brings the record to its end, once. Raises an error whose disposition is BACK_OFF when it must be attempted
        again with the same ``work``, and one with STOP when only a restart may help. A record that is bad as a whole
        or in part is a dead letter; what is good in it is accepted."""
        work.attempts += 1
        record = work.record
        with _tracer.start_as_current_span(
            "process sources", context=extract(record.headers), kind=SpanKind.CONSUMER
        ) as span:
            span.set_attribute("messaging.destination.name", record.partition.topic)
            span.set_attribute("messaging.destination.partition.id", str(record.partition.index))
            span.set_attribute("messaging.kafka.offset", record.offset)
            try:
                problem = await self._take(SourceRecord(record.key, record.value, record.headers))
                if problem is not None:
                    await self._dead_letter(work, problem)
            except HeadwaterError as error:
                work.held += error.reason == INGEST_HALTED
                span.set_status(StatusCode.ERROR, error.reason)
                raise

    async def give_up(self, work: RecordInWork) -> None:
        """Nothing to tidy: what was accepted stays accepted, and the next attempt finds it so."""

    async def _take(self, record: SourceRecord) -> HeadwaterError | None:
        """Accepts what the record says; what is wrong with it, if anything is."""
        changes, problem = await self._read(record)
        if self.breaker is None or (not changes and problem is None):
            return await self._accept_all(changes, problem)
        try:
            async with self.breaker.indexing():
                problem = await self._accept_all(changes, problem)
                if problem is not None:
                    raise problem
        except HeadwaterError as error:
            if error is not problem:
                raise
            await self.breaker.judge(error, "")
        return problem

    async def _read(self, record: SourceRecord) -> tuple[Sequence[SourceChange], HeadwaterError | None]:
        try:
            if len(record.value or b"") > _BIG_RECORD_BYTES:
                return await asyncio.to_thread(read_record, record, self.sources)
            return read_record(record, self.sources)
        except HeadwaterError as error:
            return (), _bad(error)

    async def _accept_all(
        self, changes: Sequence[SourceChange], problem: HeadwaterError | None
    ) -> HeadwaterError | None:
        for change in changes:
            try:
                outcome = await self._accept(change)
            except HeadwaterError as error:
                problem = problem or _bad(error)
            else:
                INGEST_SOURCE_CHANGES.add(source=change.source, outcome=outcome)
        return problem

    async def _accept(self, change: SourceChange) -> str:
        tenant = await self.tenants.named(validate_tenant_name(change.tenant_id))
        key = DocumentKey(tenant.tenant_id if tenant else change.tenant_id, validate_document_id(change.document_id))
        caller = Caller(change.tenant_id, f"service:source-{change.source}", scopes=frozenset({Scope.WRITE}))
        said = change.document
        if said is not None and isinstance(said.content, RemoteObject):
            # A bucket says what it holds now. What it held when this was accepted before is accepted for good.
            if await self.ledger.find(key, change.version):
                return "repeated"
            try:
                return await self._put(caller, change, said, tenant)
            except NotFound as error:
                if error.reason != SOURCE_OBJECT_MISSING:
                    raise
            change = gone(change)
        if change.document is not None:
            return await self._put(caller, change, change.document, tenant)
        receipt = await self.accept.delete(caller, key.document_id, change.version, origin=change.source)
        return "repeated" if receipt.unchanged else "deleted"

    async def _put(self, caller: Caller, change: SourceChange, said: Described, tenant: Tenant | None) -> str:
        draft = draft_of(change.document_id, change.version, said, tenant)
        content = said.content
        if isinstance(content, RemoteObject):
            receipt = await self.accept.put(
                caller, draft, self.buckets.read(content.source, content.key), said.lane, origin=change.source
            )
        else:
            receipt = await self.accept.put(caller, draft, content, said.lane, origin=change.source)
        return "repeated" if receipt.unchanged else "put"

    async def _dead_letter(self, work: RecordInWork, error: HeadwaterError) -> None:
        record = work.record
        await self.dead_letters.record(
            FailedEvent(
                topic=record.partition.topic,
                partition=record.partition.index,
                offset=record.offset,
                value=record.value or b"",
                reason=error.reason,
                attempts=work.tried,
                change=None,
                trace_id=current_trace_id(),
                message=error.message,
                key=record.key,
                headers=record.headers,
                has_value=record.value is not None,
            )
        )
        work.outcome = Outcome(ChangeState.DEAD_LETTERED, error.reason, error.message)
        INGEST_DEAD_LETTERS.add(reason=error.reason)
        _log.warning(
            "source_record_refused",
            reason=error.reason,
            partition=record.partition.index,
            offset=record.offset,
            attempts=work.tried,
        )


def _bad(error: HeadwaterError) -> HeadwaterError:
    """The error when it is the record's own fault; anything else is raised."""
    refused = disposition_of(error) is Disposition.DEAD_LETTER or isinstance(error, Conflict)
    if refused or (isinstance(error, NotFound) and error.reason == "UNKNOWN_TENANT"):
        return error
    raise error
