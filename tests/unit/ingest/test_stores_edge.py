"""The edge of audits and rebuilds, and the reconciler: who may ask, what is told, what ends with its caller."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.ingest.audits import GRACE, audits
from tests.unit.ingest.world import READER, TENANT, WRITER, World

from chassis.clock import HybridLogicalClock
from chassis.errors import InvalidRequest, NotFound, PermissionDenied
from chassis.eventlog.memory import MemoryEventLog
from chassis.identity import Caller, Scope, acting_as
from chassis.telemetry.metrics import AUDIT_OPEN
from corpus.adapters.memory.dead_letters import MemoryDeadLetterStore
from corpus.adapters.memory.reviews import MemoryReviewQueue
from corpus.domain import DocumentKey
from headwater.ingest.v1 import stores_pb2
from ingest.adapters.event_log import EventLogHeadFeed
from ingest.audit.reconcile import Reconciler
from ingest.audit.servicer import StoreServicer
from ingest.expire import ExpireDocuments
from ingest.rebuild import RebuildIndexes
from ingest.rebuild_heads import RebuildHeads
from ingest.reviews.decide import DecideReviews
from ingest.reviews.holds import HoldDocuments
from ingest.upkeep import Upkeep
from ingest.versions.rollback import RollBackDocuments

WRITING = replace(WRITER, scopes=frozenset({Scope.READ, Scope.WRITE}))


def upkeep(world: World) -> Upkeep:
    stores, auditor = world.stores, audits(world)
    feed = EventLogHeadFeed(stores.log.producer(), world.clock, has_replicas=True)
    holds = HoldDocuments(stores.tenants, stores.heads, feed, HybridLogicalClock(world.clock), world.clock)
    return Upkeep(
        auditor,
        RebuildIndexes(stores.tenants, stores.heads, world.rows, auditor.repair, auditor, 0.0),
        RebuildHeads(
            stores.tenants,
            stores.heads,
            stores.chunks,
            stores.ledger,
            stores.generations,
            MemoryEventLog(),
            feed,
            auditor,
        ),
        RollBackDocuments(stores.heads, stores.chunks, stores.ledger, stores.objects, world.accept),
        ExpireDocuments(
            stores.tenants,
            stores.heads,
            stores.ledger,
            MemoryDeadLetterStore(),
            world.accept,
            feed,
            world.clock,
            GRACE,
        ),
        holds,
        DecideReviews(MemoryReviewQueue(), holds, world.clock),
    )


async def told(caller: Caller, answers: Any) -> list[Any]:
    with acting_as(caller):
        return [answer async for answer in answers]


@pytest.mark.parametrize("caller", [READER, WRITING])
async def test_only_administrators_audit_and_rebuild(caller: Caller) -> None:
    async with World() as world:
        servicer = StoreServicer(upkeep(world), world.stores.tenants)
        with pytest.raises(PermissionDenied):
            await told(caller, servicer.AuditStores(stores_pb2.AuditStoresRequest(tenant_id=TENANT), None))
        with pytest.raises(PermissionDenied):
            await told(caller, servicer.RebuildStore(stores_pb2.RebuildStoreRequest(tenant_id=TENANT, store=1), None))


async def test_what_can_not_be_audited_or_rebuilt_is_refused() -> None:
    async with World() as world:
        servicer = StoreServicer(upkeep(world), world.stores.tenants)
        with pytest.raises(NotFound):
            await told(WRITER, servicer.AuditStores(stores_pb2.AuditStoresRequest(tenant_id="nobody"), None))
        for bad in (
            stores_pb2.RebuildStoreRequest(tenant_id=TENANT),
            stores_pb2.RebuildStoreRequest(tenant_id=TENANT, store=stores_pb2.STORE_NAME_CHUNKS),
            stores_pb2.RebuildStoreRequest(tenant_id=TENANT, store=stores_pb2.STORE_NAME_HEADS, drop=True),
        ):
            with pytest.raises(InvalidRequest):
                await told(WRITER, servicer.RebuildStore(bad, None))


async def test_what_is_audited_is_the_tenant_that_has_the_name_now() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "one two"))
        await world.manage.delete(WRITER, TENANT)
        servicer = StoreServicer(upkeep(world), world.stores.tenants)
        with pytest.raises(NotFound):
            await told(WRITER, servicer.AuditStores(stores_pb2.AuditStoresRequest(tenant_id=TENANT), None))
        later = await world.manage.create(WRITER, TENANT, {})
        event = await world.upsert("other", 1, "three")
        await world.apply.apply(replace(event, key=DocumentKey(later.tenant_id, "other")))
        *_, last = await told(WRITER, servicer.AuditStores(stores_pb2.AuditStoresRequest(tenant_id=TENANT), None))
        assert (last.report.tenant_id, last.report.documents) == (TENANT, 1)


async def test_progress_comes_first_and_the_report_last() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "one two"))
        await world.stores.vectors.drop_tenant(TENANT)
        servicer = StoreServicer(upkeep(world), world.stores.tenants)
        request = stores_pb2.AuditStoresRequest(tenant_id=TENANT, repair=True)
        *progress, last = await told(WRITER, servicer.AuditStores(request, None))
        assert all(each.WhichOneof("event") == "progress" for each in progress)
        [found] = last.report.found
        assert (found.kind, found.store, found.count) == (
            stores_pb2.DIFFERENCE_KIND_MISSING,
            stores_pb2.STORE_NAME_VECTOR,
            1,
        )
        assert (list(last.report.left), last.report.repaired, last.report.documents) == ([], True, 1)
        rebuild = stores_pb2.RebuildStoreRequest(tenant_id=TENANT, store=stores_pb2.STORE_NAME_LEXICAL, drop=True)
        *progress, last = await told(WRITER, servicer.RebuildStore(rebuild, None))
        assert {each.progress.stage for each in progress} <= {"drop", "write", "survey", "examine", "audit", "repair"}
        assert (last.result.written, list(last.result.audit.found)) == (1, [])


async def test_an_audit_ends_with_its_caller() -> None:
    reading = asyncio.Event()
    ended = asyncio.Event()

    async def hang(name, call):
        if name == "chunks.stored_versions":
            reading.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
        return await call()

    async with World(hang) as world:
        servicer = StoreServicer(upkeep(world), world.stores.tenants)
        request = stores_pb2.AuditStoresRequest(tenant_id=TENANT)
        listening = asyncio.create_task(told(WRITER, servicer.AuditStores(request, None)))
        await reading.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert ended.is_set()


@pytest.fixture
def open_differences(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], float]:
    seen: dict[tuple[str, str], float] = {}
    monkeypatch.setattr(
        AUDIT_OPEN, "_emit", lambda value, labels: seen.update({(labels["kind"], labels["store"]): value})
    )
    return seen


async def test_the_reconciler_mends_what_it_can_and_counts_what_is_left(
    open_differences: dict[tuple[str, str], float],
) -> None:
    async with World() as world:
        for n in range(3):
            await world.apply.apply(await world.upsert(f"d{n}", 1, f"text {n}"))
        await world.stores.lexical.drop_tenant(TENANT)
        head = await world.head("d1")
        assert head is not None
        await world.stores.objects.delete(head.object_key)
        reconciler = Reconciler(audits(world), lambda: True, 0.0, 1e9, repair=True)
        await reconciler.reconcile()
        assert open_differences == {("missing", "objects"): 1}
        assert len(await world.stores.lexical.chunk_ids(head.generation, TENANT)) == 3
        await world.stores.objects.put(head.object_key, b"text 1")
        await reconciler.reconcile()
        assert open_differences == {("missing", "objects"): 0}


async def test_a_tenant_whose_audit_fails_stops_no_other_and_still_counts(
    open_differences: dict[tuple[str, str], float],
) -> None:
    async with World() as world:
        await world.stores.tenants.create("a-first", {}, at=world.clock.now())
        await world.apply.apply(await world.upsert("d", 1, "text"))
        head = await world.head("d")
        assert head is not None
        await world.stores.heads.put(
            replace(head, key=DocumentKey("a-first", "d"), object_key="documents/a-first/gone", chunk_count=0)
        )
        reconciler = Reconciler(audits(world, can_parse=False), lambda: True, 0.0, 1e9, repair=False)
        await reconciler.reconcile()
        before = dict(open_differences)
        assert before["missing", "objects"] == 1
        counts = world.stores.heads.counts

        async def fail(tenant_id: str) -> Any:
            if tenant_id == "a-first":
                raise InvalidRequest("This tenant's audit fails each time.")
            return await counts(tenant_id)

        world.stores.heads.counts = fail  # type: ignore[method-assign]
        await world.stores.lexical.drop_tenant(TENANT)
        await reconciler.reconcile()
        assert open_differences == {**before, ("missing", "lexical"): 1}
