"""An audit over the in-memory world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tests.unit.ingest.world import TENANT, World

from corpus.adapters.memory.dead_letters import MemoryDeadLetterStore
from ingest.audit.audit import AuditStores
from ingest.audit.differences import AuditReport
from ingest.audit.examine import ExamineDocuments
from ingest.audit.objects import AuditObjects
from ingest.audit.repair import RepairStores
from ingest.audit.survey import SurveyStores

GRACE = 3600.0
SAFETY_AGE = 30 * 24 * 3600.0


def audits(
    world: World, *, letters: MemoryDeadLetterStore | None = None, can_parse: bool = True, settle_seconds: float = 0.0
) -> AuditStores:
    """An auditor of the world's stores."""
    stores, rows = world.stores, world.rows
    return AuditStores(
        tenants=stores.tenants,
        survey=SurveyStores(
            stores.heads, rows.chunks, rows.vectors, rows.lexical, stores.generations, world.clock, GRACE
        ),
        examine=ExamineDocuments(
            stores.heads, stores.ledger, rows.chunks, rows.vectors, rows.lexical, stores.generations
        ),
        objects=AuditObjects(
            stores.heads,
            stores.chunks,
            stores.ledger,
            letters or MemoryDeadLetterStore(),
            stores.objects,
            world.clock,
            SAFETY_AGE,
        ),
        repair=RepairStores(
            stores.heads,
            rows,
            world.embed,
            stores.generations,
            stores.tenants,
            stores.ledger,
            world.apply.index if can_parse else None,
        ),
        clock=world.clock,
        settle_seconds=settle_seconds,
    )


async def audit(world: World, *, repair: bool = False) -> AuditReport:
    """One audit of the world's tenant."""
    return await audits(world).audit(TENANT, repair=repair)


def counts(report: AuditReport) -> Mapping[str, int]:
    """Confirmed differences as "kind store"."""
    return Counter(f"{each.kind} {each.store}" for each in report.found)
