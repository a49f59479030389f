"""gRPC edge of audits and rebuilds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import grpc

from chassis.errors import InvalidRequest, NotFound
from chassis.identity import Scope, current_caller
from corpus.ids import name_of_tenant, validate_tenant_name
from corpus.ports import Tenants
from headwater.ingest.v1 import stores_pb2, stores_pb2_grpc
from ingest.audit.audit import Progress
from ingest.audit.differences import AuditReport, Difference, DifferenceKind, StoreName
from ingest.codec import to_timestamp
from ingest.rebuild import Rebuilt
from ingest.upkeep import Upkeep

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

MOST_LISTED = 1_000
"""Differences, and documents, that one report names."""

_KINDS = {
    DifferenceKind.MISSING: stores_pb2.DIFFERENCE_KIND_MISSING,
    DifferenceKind.STALE: stores_pb2.DIFFERENCE_KIND_STALE,
    DifferenceKind.ORPHAN: stores_pb2.DIFFERENCE_KIND_ORPHAN,
    DifferenceKind.DUPLICATE: stores_pb2.DIFFERENCE_KIND_DUPLICATE,
    DifferenceKind.ACCESS: stores_pb2.DIFFERENCE_KIND_ACCESS_MISMATCH,
    DifferenceKind.UNREFERENCED: stores_pb2.DIFFERENCE_KIND_UNREFERENCED,
}
_STORES = {
    StoreName.VECTOR: stores_pb2.STORE_NAME_VECTOR,
    StoreName.LEXICAL: stores_pb2.STORE_NAME_LEXICAL,
    StoreName.CHUNKS: stores_pb2.STORE_NAME_CHUNKS,
    StoreName.OBJECTS: stores_pb2.STORE_NAME_OBJECTS,
}
_INDEX_OF = {
    stores_pb2.STORE_NAME_VECTOR: StoreName.VECTOR,
    stores_pb2.STORE_NAME_LEXICAL: StoreName.LEXICAL,
}


class StoreServicer(stores_pb2_grpc.StoreServiceServicer):
    """Translates requests and replies; decides who may ask and nothing else."""

    def __init__(self, upkeep: Upkeep, tenants: Tenants) -> None:
        self._upkeep = upkeep
        self._tenants = tenants

    async def AuditStores(
        self, request: stores_pb2.AuditStoresRequest, context: Context
    ) -> AsyncIterator[stores_pb2.AuditStoresResponse]:
        """See the proto."""
        tenant_id = await self._tenant(request.tenant_id)

        async def work(progress: Progress) -> AuditReport:
            return await self._upkeep.audits.audit(tenant_id, repair=request.repair, progress=progress)

        async for event in _told(work):
            if isinstance(event, AuditReport):
                yield stores_pb2.AuditStoresResponse(report=_report(event))
            else:
                yield stores_pb2.AuditStoresResponse(progress=event)

    async def RebuildStore(
        self, request: stores_pb2.RebuildStoreRequest, context: Context
    ) -> AsyncIterator[stores_pb2.RebuildStoreResponse]:
        """See the proto."""
        tenant_id = await self._tenant(request.tenant_id)
        index = _INDEX_OF.get(request.store)
        if index is None and (request.store != stores_pb2.STORE_NAME_HEADS or request.drop):
            raise InvalidRequest(
                "What can be rebuilt: vector and lexical, also from empty; heads, never dropped.", reason="BAD_STORE"
            )

        async def work(progress: Progress) -> Rebuilt:
            if index is None:
                return await self._upkeep.heads.rebuild(tenant_id, progress=progress)
            return await self._upkeep.indexes.rebuild(tenant_id, index, drop=request.drop, progress=progress)

        async for event in _told(work):
            if isinstance(event, Rebuilt):
                yield stores_pb2.RebuildStoreResponse(result=_result(event))
            else:
                yield stores_pb2.RebuildStoreResponse(progress=event)

    async def _tenant(self, name: str) -> str:
        current_caller().require(Scope.ADMIN)
        tenant = await self._tenants.named(validate_tenant_name(name))
        if tenant is None:
            raise NotFound("There is no such tenant.", reason="UNKNOWN_TENANT")
        return tenant.tenant_id


async def _told(work: Callable[[Progress], Awaitable[T]]) -> AsyncIterator[stores_pb2.StageProgress | T]:
    """Progress as it is made, then what the work returns. Ends the work when nobody listens any more."""
    # One place: progress that nobody has taken yet is replaced by newer progress.
    queue: asyncio.Queue[stores_pb2.StageProgress] = asyncio.Queue(1)

    async def progress(stage: str, done: int) -> None:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(stores_pb2.StageProgress(stage=stage, done=done))

    async def run() -> T:
        return await work(progress)

    running = asyncio.create_task(run())
    try:
        while not running.done():
            next_one = asyncio.create_task(queue.get())
            try:
                await asyncio.wait({running, next_one}, return_when=asyncio.FIRST_COMPLETED)
                if next_one.done():
                    yield next_one.result()
            finally:
                next_one.cancel()
        yield running.result()
    finally:
        running.cancel()
        await asyncio.wait({running})


def _report(report: AuditReport) -> stores_pb2.AuditReport:
    return stores_pb2.AuditReport(
        tenant_id=name_of_tenant(report.tenant_id),
        started_at=to_timestamp(report.started_at),
        finished_at=to_timestamp(report.finished_at),
        documents=report.documents,
        rows=[stores_pb2.StoreRows(store=_STORES[store], rows=rows) for store, rows in report.rows.items()],
        buckets=report.buckets,
        buckets_listed=report.buckets_listed,
        found=_counts(report.found),
        left=_counts(report.left),
        differences=[_difference(each) for each in report.found[:MOST_LISTED]],
        unsettled=report.unsettled,
        buckets_left=report.buckets_left,
        unrepairable=[
            stores_pb2.Unrepairable(reason=reason, count=count) for reason, count in report.unrepairable.items()
        ],
        repaired=report.repaired,
    )


def _counts(differences: Iterable[Difference]) -> list[stores_pb2.DifferenceCount]:
    counted = Counter((each.kind, each.store) for each in differences)
    return [
        stores_pb2.DifferenceCount(kind=_KINDS[kind], store=_STORES[store], count=count)
        for (kind, store), count in sorted(counted.items())
    ]


def _difference(each: Difference) -> stores_pb2.Difference:
    return stores_pb2.Difference(
        kind=_KINDS[each.kind],
        store=_STORES[each.store],
        document_id=each.document_id,
        chunks_version=each.chunks_version,
        generation=each.generation,
        chunk_id=each.chunk_id,
        object_key=each.object_key,
    )


def _result(made: Rebuilt) -> stores_pb2.RebuildResult:
    return stores_pb2.RebuildResult(
        documents=made.documents,
        written=made.written,
        without_readers=made.without_readers[:MOST_LISTED],
        lost=made.lost[:MOST_LISTED],
        audit=_report(made.audit),
    )
