"""Use case: does everything that heads name exist, once, with the right readers, and nothing else?

1. A survey finds suspects.               2. Writers get a moment.
3. Suspects are examined; those that keep changing are looked at again, a few times.
4. With a repair, what was confirmed is mended and examined once more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chassis.clock import Clock
from corpus.domain import Tenant
from corpus.ports import Tenants
from ingest.audit.differences import AuditReport, Difference, StoreName, Suspect
from ingest.audit.examine import ExamineDocuments
from ingest.audit.objects import AuditObjects, SurveyedObjects
from ingest.audit.repair import RepairStores
from ingest.audit.survey import Pace, Surveyed, SurveyStores
from ingest.tenancy import tenant_of

LOOKS = 5
"""At documents that keep changing."""
REPAIRS = 3
"""Of one document: a change that was under way may undo the first."""

Progress = Callable[[str, int], Awaitable[None]]
"""Told the stage and how many rows or documents it has done."""


async def silent(stage: str, done: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class AuditStores:
    """Use case of operators and of the reconciler."""

    tenants: Tenants
    survey: SurveyStores
    examine: ExamineDocuments
    objects: AuditObjects
    repair: RepairStores
    clock: Clock
    settle_seconds: float = 2.0

    async def audit(
        self,
        tenant_id: str,
        *,
        repair: bool = False,
        pace: Pace | None = None,
        progress: Progress = silent,
    ) -> AuditReport:
        """Audits one tenant while everything goes on. Idempotent. Raises DependencyUnavailable when a store can't be
        read: a store that is away is no difference; NotFound UNKNOWN_TENANT, also when the tenant is deleted while its
        stores are mended."""
        tenant = await tenant_of(self.tenants, tenant_id)
        started = self.clock.now()
        pace = pace or Pace()
        await progress("survey", 0)
        surveyed = await self.survey.survey(tenant_id, pace)
        objects = await self.objects.survey(tenant_id, pace)
        await progress("examine", len(surveyed.suspects))
        found, unsettled = await self._confirm(tenant_id, surveyed.generation, surveyed.suspects)
        found += await self.objects.confirm(tenant_id, objects)
        found.sort()
        left: Sequence[Difference] = found
        refused: Mapping[str, int] = {}
        if repair:
            await progress("repair", len(found))
            left, refused = await self._repair(tenant, surveyed, objects, found, pace)
        return self._report(tenant_id, started, surveyed, objects, found, left, len(unsettled), refused, repair)

    async def _confirm(
        self, tenant_id: str, generation: str, suspects: Mapping[str, Suspect]
    ) -> tuple[list[Difference], set[str]]:
        found: list[Difference] = []
        waiting = dict(suspects)
        for _ in range(LOOKS):
            if not waiting:
                break
            await asyncio.sleep(self.settle_seconds)
            examined = await self.examine.examine(tenant_id, generation, waiting)
            found += examined.differences
            waiting = {each: waiting[each] for each in examined.unsettled}
        return found, set(waiting)

    async def _repair(
        self,
        tenant: Tenant,
        surveyed: Surveyed,
        objects: SurveyedObjects,
        found: Sequence[Difference],
        pace: Pace,
    ) -> tuple[list[Difference], Mapping[str, int]]:
        """What is left, and why. Bytes come first: lost text is made from them. They are seen to even if nothing
        differs, for what was set aside long ago is to go."""
        tenant_id = tenant.tenant_id
        left = list(found)
        refused: Counter[str] = Counter()
        for _ in range(REPAIRS):
            await self.objects.collect(tenant_id, objects, pace)
            if not left:
                break
            rows = [each for each in left if each.store is not StoreName.OBJECTS]
            refused = await self.repair.repair([*rows, *await self.objects.confirm(tenant_id, objects)], tenant)
            suspects = surveyed.suspects
            again = {each.document_id: suspects[each.document_id] for each in left if each.document_id in suspects}
            left, _ = await self._confirm(tenant_id, surveyed.generation, again)
            left += await self.objects.confirm(tenant_id, objects)
            if len(left) <= refused.total():
                break
        return sorted(left), refused

    def _report(
        self,
        tenant_id: str,
        started: datetime,
        surveyed: Surveyed,
        objects: SurveyedObjects,
        found: Sequence[Difference],
        left: Sequence[Difference],
        unsettled: int,
        refused: Mapping[str, int],
        repaired: bool,
    ) -> AuditReport:
        return AuditReport(
            tenant_id=tenant_id,
            started_at=started,
            finished_at=self.clock.now(),
            documents=surveyed.documents,
            buckets=surveyed.buckets,
            buckets_listed=surveyed.listed,
            buckets_left=surveyed.unlisted,
            rows={**surveyed.rows, StoreName.OBJECTS: objects.seen},
            found=found,
            left=left,
            unsettled=unsettled,
            unrepairable=refused,
            repaired=repaired,
        )
