"""Audits and rebuilds (admin scope), earlier versions of documents (write scope)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import grpc

from headwater import channel, messages
from headwater.errors import from_rpc_error
from headwater.ingest.v1 import stores_pb2, stores_pb2_grpc, versions_pb2, versions_pb2_grpc
from headwater.types import Receipt

LONGEST_SECONDS: Final = 12 * 3600.0

StoreChoice = Literal["vector", "lexical", "heads"]
_STORES: Final[Mapping[str, stores_pb2.StoreName.ValueType]] = {
    "vector": stores_pb2.STORE_NAME_VECTOR,
    "lexical": stores_pb2.STORE_NAME_LEXICAL,
    "heads": stores_pb2.STORE_NAME_HEADS,
}
_Call = Callable[[Any, Any, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far an audit or a rebuild has come."""

    stage: str
    done: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in one store that is not as the head says. ``kind``: missing, stale, orphan, duplicate,
    access_mismatch, unreferenced."""

    kind: str
    store: str
    document_id: str
    chunks_version: int
    generation: str
    chunk_id: str
    object_key: str


@dataclass(frozen=True, slots=True)
class DifferenceCount:
    """Differences of one kind in one store."""

    kind: str
    store: str
    count: int


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit of one tenant found. ``left``: still there after a repair; without one as ``found``.
    ``differences`` are the first 1,000 of those found. Of ``unsettled`` documents nothing is said: they kept
    changing."""

    tenant_id: str
    started_at: datetime
    finished_at: datetime
    documents: int
    rows: Mapping[str, int]
    buckets: int
    buckets_listed: int
    found: Sequence[DifferenceCount]
    left: Sequence[DifferenceCount]
    differences: Sequence[Difference]
    unsettled: int
    buckets_left: int
    unrepairable: Mapping[str, int]
    repaired: bool


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """How a rebuild ended; ``without_readers`` and ``lost`` name documents, of heads only."""

    documents: int
    written: int
    without_readers: Sequence[str]
    lost: Sequence[str]
    audit: AuditReport


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version of a document whose content is still kept."""

    version: int
    served: bool
    restorable: bool
    chunks: int
    title: str


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A rollback that was accepted."""

    receipt: Receipt
    restored_version: int
    without_readers: bool


class Stores:
    """Calls of an ``AsyncClient``."""

    def __init__(self, opened: grpc.aio.Channel, metadata: Any, read: _Call, write: _Call) -> None:
        self._stores: stores_pb2_grpc.StoreServiceAsyncStub = stores_pb2_grpc.StoreServiceStub(opened)
        self._versions: versions_pb2_grpc.VersionServiceAsyncStub = versions_pb2_grpc.VersionServiceStub(opened)
        self._metadata = metadata
        self._read = read
        self._write = write

    async def audit(self, tenant_id: str, *, repair: bool = False) -> AsyncIterator[StageProgress | AuditReport]:
        """Compares the tenant's stores while everything goes on; the report comes last. Safe to repeat."""
        request = stores_pb2.AuditStoresRequest(tenant_id=tenant_id, repair=repair)
        async for reply in self._stream(self._stores.AuditStores, request):
            yield audit_report(reply.report) if reply.WhichOneof("event") == "report" else _progress(reply.progress)

    async def rebuild(
        self, tenant_id: str, store: StoreChoice, *, drop: bool = False
    ) -> AsyncIterator[StageProgress | RebuildResult]:
        """Fills one store from the others; the result comes last. Repeating a call that was cut off goes on."""
        request = stores_pb2.RebuildStoreRequest(tenant_id=tenant_id, store=_STORES[store], drop=drop)
        async for reply in self._stream(self._stores.RebuildStore, request):
            yield _result(reply.result) if reply.WhichOneof("event") == "result" else _progress(reply.progress)

    async def versions(self, document_id: str) -> list[KeptVersion]:
        """Versions that are kept, newest first. Raises NotFoundError."""
        request = versions_pb2.ListVersionsRequest(document_id=document_id)
        reply = await self._read(self._versions.ListVersions, request, channel.READ_SECONDS)
        return [
            KeptVersion(each.version, each.served, each.restorable, each.chunks, each.title) for each in reply.versions
        ]

    async def roll_back(self, document_id: str, to_version: int = 0) -> RolledBack:
        """Gives a document the content of an earlier version (0: the one before), for the readers of now. Raises
        NotFoundError, PreconditionError with a reason that says why it can't."""
        request = versions_pb2.RollbackDocumentRequest(document_id=document_id, to_version=to_version)
        reply = await self._write(self._versions.RollbackDocument, request, channel.WRITE_SECONDS)
        return RolledBack(messages.receipt(reply.receipt), reply.restored_version, reply.without_readers)

    async def _stream(self, method: Any, request: Any) -> AsyncIterator[Any]:
        call = method(request, timeout=LONGEST_SECONDS, metadata=self._metadata)
        try:
            async for reply in call:
                yield reply
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()


def audit_report(message: stores_pb2.AuditReport) -> AuditReport:
    """A report from protobuf."""
    return AuditReport(
        tenant_id=message.tenant_id,
        started_at=message.started_at.ToDatetime(tzinfo=UTC),
        finished_at=message.finished_at.ToDatetime(tzinfo=UTC),
        documents=message.documents,
        rows={_store(each.store): each.rows for each in message.rows},
        buckets=message.buckets,
        buckets_listed=message.buckets_listed,
        found=[_count(each) for each in message.found],
        left=[_count(each) for each in message.left],
        differences=[
            Difference(
                _kind(each.kind),
                _store(each.store),
                each.document_id,
                each.chunks_version,
                each.generation,
                each.chunk_id,
                each.object_key,
            )
            for each in message.differences
        ],
        unsettled=message.unsettled,
        buckets_left=message.buckets_left,
        unrepairable={each.reason: each.count for each in message.unrepairable},
        repaired=message.repaired,
    )


def _result(message: stores_pb2.RebuildResult) -> RebuildResult:
    return RebuildResult(
        message.documents,
        message.written,
        list(message.without_readers),
        list(message.lost),
        audit_report(message.audit),
    )


def _progress(message: stores_pb2.StageProgress) -> StageProgress:
    return StageProgress(message.stage, message.done)


def _count(message: stores_pb2.DifferenceCount) -> DifferenceCount:
    return DifferenceCount(_kind(message.kind), _store(message.store), message.count)


def _kind(number: stores_pb2.DifferenceKind.ValueType) -> str:
    return stores_pb2.DifferenceKind.Name(number).removeprefix("DIFFERENCE_KIND_").lower()


def _store(number: stores_pb2.StoreName.ValueType) -> str:
    return stores_pb2.StoreName.Name(number).removeprefix("STORE_NAME_").lower()
