"""Accepting changes: check, store the bytes, append the event. What was accepted is never lost."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import structlog

from chassis.clock import Clock, HybridLogicalClock
from chassis.errors import HeadwaterError, InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from chassis.objectstore.port import ObjectStore
from chassis.telemetry import current_trace_id
from corpus.domain import MAX_VERSION, ChangeRecord, ChangeState, DocumentKey
from corpus.ports import ChangeLedger, Tenants
from ingest.domain import (
    Delete,
    DocumentChange,
    Draft,
    Receipt,
    SetAccess,
    StoredContent,
    Upsert,
    content_key,
    fingerprint,
)
from ingest.ports import ChangeLog

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AcceptChanges:
    """Use cases of the API role that change documents.

    The event's append is the point of acceptance. The ledger row is written after it, and by the worker if this
    process dies in between, so a row without an event can't exist and an event without a row doesn't stay so.
    """

    tenants: Tenants
    ledger: ChangeLedger
    objects: ObjectStore
    change_log: ChangeLog
    clock: Clock
    versions: HybridLogicalClock
    max_document_bytes: int

    async def put(self, caller: Caller, draft: Draft, content: bytes | AsyncIterator[bytes]) -> Receipt:
        """Stores the bytes and appends the upsert. Raises InvalidRequest (also DOCUMENT_TOO_LARGE), Conflict
        VERSION_CONFLICT, NotFound UNKNOWN_TENANT, DependencyUnavailable."""
        caller.require(Scope.WRITE)
        await self._require_tenant(caller.tenant_id)
        stored = await self._store(caller.tenant_id, content)
        return await self._accept(
            DocumentKey(caller.tenant_id, draft.document_id), draft.version, Upsert(draft, stored)
        )

    async def delete(self, caller: Caller, document_id: str, version: int) -> Receipt:
        """Appends a delete; deleting what does not exist is accepted."""
        caller.require(Scope.WRITE)
        await self._require_tenant(caller.tenant_id)
        return await self._accept(DocumentKey(caller.tenant_id, document_id), version, Delete())

    async def set_access(
        self, caller: Caller, document_id: str, version: int, principals: tuple[str, ...], security_level: int
    ) -> Receipt:
        """Appends a change of readers. Raises NotFound UNKNOWN_DOCUMENT when no version was ever accepted."""
        caller.require(Scope.WRITE)
        await self._require_tenant(caller.tenant_id)
        key = DocumentKey(caller.tenant_id, document_id)
        if not await self.ledger.newest(key, limit=1):
            raise NotFound("There is no document with this id; put it first.", reason="UNKNOWN_DOCUMENT")
        return await self._accept(key, version, SetAccess(principals, security_level))

    async def _require_tenant(self, tenant_id: str) -> None:
        if await self.tenants.get(tenant_id) is None:
            raise NotFound(
                "This tenant does not exist; an administrator creates it with CreateTenant.",
                reason="UNKNOWN_TENANT",
                metadata={"tenant_id": tenant_id},
            )

    async def _store(self, tenant_id: str, content: bytes | AsyncIterator[bytes]) -> StoredContent:
        if isinstance(content, bytes):
            self._require_size(len(content))
            sha256 = hashlib.sha256(content).hexdigest()
            key = content_key(tenant_id, sha256)
            await self.objects.put(key, content)
            return StoredContent(key, sha256, len(content))
        # The key holds the hash, which is known only at the end: the bytes wait under a name of their own until then.
        staging = f"uploads/{tenant_id}/{uuid4().hex}"
        digest = hashlib.sha256()
        size = 0

        async def hashed() -> AsyncIterator[bytes]:
            nonlocal size
            async for part in content:
                size += len(part)
                self._require_size(size)
                digest.update(part)
                yield part

        try:
            await self.objects.put(staging, hashed())
            key = content_key(tenant_id, digest.hexdigest())
            if not await self.objects.exists(key):
                await self.objects.put(key, await self.objects.get(staging))
        finally:
            await self.objects.delete(staging)
        return StoredContent(key, digest.hexdigest(), size)

    def _require_size(self, size: int) -> None:
        if size > self.max_document_bytes:
            raise InvalidRequest(
                f"The document is larger than the limit of {self.max_document_bytes} bytes; split it.",
                reason="DOCUMENT_TOO_LARGE",
                metadata={"limit_bytes": str(self.max_document_bytes)},
            )

    async def _accept(self, key: DocumentKey, version: int, change: Upsert | Delete | SetAccess) -> Receipt:
        said = fingerprint(change)
        newest = next(iter(await self.ledger.newest(key, limit=1)), None)
        if version == 0:
            if newest is not None and newest.fingerprint == said and newest.state is not ChangeState.DEAD_LETTERED:
                return Receipt(
                    newest.event_id, key.document_id, newest.version, unchanged=True, trace_id=newest.trace_id
                )
            version = max(self.versions.next(), newest.version + 1 if newest else 1)
        if not 1 <= version <= MAX_VERSION:
            raise InvalidRequest(f"A version is between 1 and {MAX_VERSION}.", reason="BAD_VERSION")
        event = DocumentChange(uuid4().hex, key, version, self.clock.now(), change)
        record = ChangeRecord(
            event_id=event.event_id,
            key=key,
            version=version,
            kind=event.kind,
            state=ChangeState.PENDING,
            accepted_at=event.accepted_at,
            fingerprint=said,
            trace_id=current_trace_id(),
        )
        known = await self._known(key, version, newest)
        if known is not None:
            # Raises VERSION_CONFLICT unless it is the same change; the event may not have reached the log, so it goes
            # again.
            record = await self.ledger.accept(record)
            if record.state is not ChangeState.PENDING:
                return Receipt(record.event_id, key.document_id, version, unchanged=True, trace_id=record.trace_id)
            event = DocumentChange(record.event_id, key, version, record.accepted_at, change)
        await self.change_log.append(event)
        try:
            await self.ledger.accept(record)
        except HeadwaterError as error:
            _log.warning("ledger_row_left_to_worker", reason=error.reason, event_id=event.event_id)
        return Receipt(event.event_id, key.document_id, version, unchanged=False, trace_id=record.trace_id)

    async def _known(self, key: DocumentKey, version: int, newest: ChangeRecord | None) -> ChangeRecord | None:
        if newest is None or version > newest.version:
            return None
        return next((record for record in await self.ledger.newest(key, limit=1000) if record.version == version), None)
