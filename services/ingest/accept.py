"""Accepting changes: check, store the bytes, append the event. What was accepted is never lost."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from chassis.clock import Clock, HybridLogicalClock, to_micros
from chassis.errors import Conflict, InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from chassis.objectstore.port import ObjectStore
from chassis.telemetry import current_trace_id
from chassis.telemetry.metrics import INGEST_ACCEPTED
from corpus.domain import MAX_VERSION, ChangeRecord, ChangeState, DocumentKey, Tenant
from corpus.ids import length_prefixed
from corpus.ports import ChangeLedger, Tenants
from ingest.domain import (
    Change,
    Delete,
    DocumentChange,
    Draft,
    Lane,
    Receipt,
    SetAccess,
    StoredContent,
    Upsert,
    content_key,
    fingerprint,
)
from ingest.ports import ChangeLog

_log = structlog.get_logger()

_CLOCK_BEGAN = to_micros(datetime(2026, 1, 1, tzinfo=UTC))
"""No clock that assigns versions was behind this; smaller versions count something else."""

_GOOD_STATES = (ChangeState.PENDING, ChangeState.APPLIED)


@dataclass(frozen=True, slots=True)
class AcceptChanges:
    """Use cases of the API role that change documents.

    The event's append is the point of acceptance. The ledger row is written after it, and by the worker if this
    process dies in between, so a row without an event can't exist and an event without a row doesn't stay so. A
    receipt is given once the row is there: a call that failed before has an unknown outcome, and repeating it is safe.
    """

    tenants: Tenants
    ledger: ChangeLedger
    objects: ObjectStore
    change_log: ChangeLog
    clock: Clock
    versions: HybridLogicalClock
    max_document_bytes: int

    async def put(
        self,
        caller: Caller,
        draft: Draft,
        content: bytes | AsyncIterator[bytes],
        lane: Lane = Lane.LIVE,
        *,
        origin: str = "",
    ) -> Receipt:
        """Stores the bytes and appends the upsert to the lane. Raises InvalidRequest (also DOCUMENT_TOO_LARGE),
        Conflict VERSION_CONFLICT, NotFound UNKNOWN_TENANT, DependencyUnavailable.

        ``origin`` names a source that repeats itself: the same version with the same content from there has the same
        event id, whoever took it before and whatever became of that."""
        caller.require(Scope.WRITE)
        _check_version(draft.version)
        tenant = await self._tenant(caller.tenant_id)
        stored = await self._store(tenant.tenant_id, content)
        return await self._accept(tenant, draft.document_id, draft.version, Upsert(draft, stored), lane, origin)

    async def delete(self, caller: Caller, document_id: str, version: int, *, origin: str = "") -> Receipt:
        """Appends a delete; deleting what does not exist is accepted. ``origin`` as in ``put``."""
        caller.require(Scope.WRITE)
        _check_version(version)
        tenant = await self._tenant(caller.tenant_id)
        return await self._accept(tenant, document_id, version, Delete(), origin=origin)

    async def set_access(
        self, caller: Caller, document_id: str, version: int, principals: tuple[str, ...], security_level: int
    ) -> Receipt:
        """Appends a change of readers. Raises NotFound UNKNOWN_DOCUMENT when no version was ever accepted."""
        caller.require(Scope.WRITE)
        _check_version(version)
        tenant = await self._tenant(caller.tenant_id)
        if not await self.ledger.newest(DocumentKey(tenant.tenant_id, document_id), limit=1):
            raise NotFound("There is no document with this id; put it first.", reason="UNKNOWN_DOCUMENT")
        return await self._accept(tenant, document_id, version, SetAccess(principals, security_level))

    async def at_version(self, key: DocumentKey, version: int, change: Change) -> Receipt:
        """Appends a change of the service's own at exactly this version. Raises Conflict VERSION_CONFLICT when another
        change has it, NotFound UNKNOWN_TENANT, InvalidRequest BAD_VERSION, DependencyUnavailable."""
        _check_version(version)
        tenant = _known(await self.tenants.get(key.tenant_id), key.tenant_id)
        return await self._accept_version(tenant, key, version, change, Lane.LIVE)

    async def _tenant(self, name: str) -> Tenant:
        return _known(await self.tenants.named(name), name)

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
            # Also over what is there: it makes the object young, which is what keeps it from being collected.
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

    async def _accept(
        self,
        tenant: Tenant,
        document_id: str,
        version: int,
        change: Change,
        lane: Lane = Lane.LIVE,
        origin: str = "",
    ) -> Receipt:
        key = DocumentKey(tenant.tenant_id, document_id)
        if version:
            return await self._accept_version(tenant, key, version, change, lane, origin)
        while True:
            newest = next(iter(await self.ledger.newest(key, limit=1)), None)
            if newest is not None and newest.fingerprint == fingerprint(change) and newest.state in _GOOD_STATES:
                return _receipt(newest)
            assigned = self._next_version(newest)
            _check_version(assigned)
            try:
                return await self._accept_version(tenant, key, assigned, change, lane)
            except Conflict:
                # Somebody else used this version a moment ago; the next one is greater than theirs.
                _log.info("assigned_version_taken", version=assigned)

    def _next_version(self, newest: ChangeRecord | None) -> int:
        """A version above all that were accepted of the document; the ledger keeps the greatest one for as long as the
        tenant is there, tombstone or not.

        Time is added where versions tell time, which keeps them growing also after a ledger that was lost or restored.
        A source that counts its changes or the bytes of its log is far below: after a leap to the clock every later
        change of its own would be out of date, without anybody being told. There the next number is taken.

        Of two processes that take one number at the same time one is refused by the ledger, and looks again.
        """
        if newest is None:
            return self.versions.next()
        following = newest.version + 1
        return following if newest.version < _CLOCK_BEGAN else max(self.versions.next(), following)

    async def _accept_version(
        self, tenant: Tenant, key: DocumentKey, version: int, change: Change, lane: Lane, origin: str = ""
    ) -> Receipt:
        record = ChangeRecord(
            event_id=_repeatable_id(origin, key, version, change) if origin else uuid4().hex,
            key=key,
            version=version,
            kind=change.kind,
            state=ChangeState.PENDING,
            # Never before the tenant: see ``belongs_to``.
            accepted_at=max(self.clock.now(), tenant.created_at),
            fingerprint=fingerprint(change),
            trace_id=current_trace_id(),
        )
        if await self.ledger.find(key, version):
            return _receipt(await self.ledger.accept(record))
        await self.change_log.append(DocumentChange(record.event_id, key, version, record.accepted_at, change), lane)
        INGEST_ACCEPTED.add(kind=change.kind.value)
        # Of two changes with one version at the same time, the one whose row is there first is the change; the worker
        # drops the other one, whose caller is told of the conflict here.
        return _receipt(await self.ledger.accept(record))


def _known(tenant: Tenant | None, asked_for: str) -> Tenant:
    if tenant is None:
        raise NotFound(
            "This tenant does not exist; an administrator creates it with CreateTenant.",
            reason="UNKNOWN_TENANT",
            metadata={"tenant_id": asked_for},
        )
    return tenant


def _repeatable_id(origin: str, key: DocumentKey, version: int, change: Change) -> str:
    # The content is part of it: of two contents with one version the ledger takes one, and must not take the end of the
    # other for its own.
    said = ("headwater.source-event.v1", origin, key.tenant_id, key.document_id, str(version), fingerprint(change))
    return hashlib.sha256(length_prefixed(said)).hexdigest()[:32]


def _check_version(version: int) -> None:
    if not 0 <= version <= MAX_VERSION:
        raise InvalidRequest(f"A version is between 1 and {MAX_VERSION}.", reason="BAD_VERSION")


def _receipt(record: ChangeRecord) -> Receipt:
    # Only what is applied is said to be unchanged: whoever repeats a call wants to know how the change ends.
    unchanged = record.state is ChangeState.APPLIED
    return Receipt(record.event_id, record.key.document_id, record.version, unchanged, record.trace_id)
