"""Audits in the background: one worker at a time, at a bounded rate, tenant by tenant."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from chassis.errors import HeadwaterError
from chassis.telemetry.metrics import AUDIT_DIFFERENCES, AUDIT_FINISHED, AUDIT_OPEN, AUDIT_UNSETTLED
from ingest.audit.audit import AuditStores
from ingest.audit.differences import DifferenceKind, StoreName
from ingest.audit.survey import Pace

_log = structlog.get_logger()

_Open = Counter[tuple[DifferenceKind, StoreName]]


@dataclass(slots=True)
class Reconciler:
    """``is_leader`` says whether this process is the one of all workers that does it: which worker has the first
    partition of the changes is known to the log, and there is only one. Two at once would do no harm but twice the
    work."""

    audits: AuditStores
    is_leader: Callable[[], bool]
    every_seconds: float
    rows_per_second: float
    repair: bool
    _reported: set[tuple[DifferenceKind, StoreName]] = field(default_factory=set)
    _left: dict[str, tuple[_Open, int]] = field(default_factory=dict)
    """By tenant, after its last audit that came to its end."""

    async def run(self) -> None:
        """Passes for ever, with a pause before each."""
        for kind in DifferenceKind:
            for store in StoreName:
                # An increase from nothing is no increase: the first differences that are found would alert nobody.
                AUDIT_DIFFERENCES.add(0, kind=kind.value, store=store.value)
        while True:
            await asyncio.sleep(self.every_seconds)
            if self.is_leader():
                await self.reconcile()
            else:
                self._left.clear()
                self._report(Counter(), 0)

    async def reconcile(self) -> None:
        """One pass over all tenants. What fails is logged and left to the next pass; of that tenant, what was found
        before still counts, and the pass is not a finished one."""
        failed = False
        try:
            tenants = await self.audits.tenants.list()
        except HeadwaterError as error:
            _log.warning("audit_failed", reason=error.reason)
            return
        there = {tenant.tenant_id for tenant in tenants}
        self._left = {tenant_id: known for tenant_id, known in self._left.items() if tenant_id in there}
        for tenant_id in sorted(there):
            try:
                self._left[tenant_id] = await self._audit(tenant_id)
            except HeadwaterError as error:
                failed = failed or error.reason != "UNKNOWN_TENANT"
                _log.warning("audit_failed", reason=error.reason)
        left: _Open = Counter()
        for of_tenant, _ in self._left.values():
            left.update(of_tenant)
        unsettled = sum(each for _, each in self._left.values())
        self._report(left, unsettled)
        if not failed:
            AUDIT_FINISHED.set(self.audits.clock.now().timestamp())
            _log.info("stores_audited", left=left.total(), unsettled=unsettled)

    async def _audit(self, tenant_id: str) -> tuple[_Open, int]:
        """What is left that differs, and how many documents nothing is said of."""
        pace = Pace(self.rows_per_second)
        report = await self.audits.audit(tenant_id, repair=self.repair, pace=pace)
        for (kind, store), count in report.counts.items():
            AUDIT_DIFFERENCES.add(count, kind=kind.value, store=store.value)
        if report.found:
            _log.warning(
                "stores_differed",
                found=len(report.found),
                left=len(report.left),
                unrepairable=dict(report.unrepairable),
                buckets_left=report.buckets_left,
            )
        return Counter((each.kind, each.store) for each in report.left), report.unsettled

    def _report(self, left: _Open, unsettled: int) -> None:
        self._reported |= left.keys()
        for kind, store in self._reported:
            AUDIT_OPEN.set(left[kind, store], kind=kind.value, store=store.value)
        AUDIT_UNSETTLED.set(unsettled)
