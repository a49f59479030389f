"""Use case: what questions came to, for those who may know."""

from __future__ import annotations

from datetime import UTC, date
from typing import Final

from chassis.clock import Clock
from chassis.errors import FailedPrecondition, InvalidRequest, PermissionDenied
from chassis.identity import Caller, Scope
from gateway.costs.domain import CostQuery, CostReport, Grouping
from gateway.costs.ports import CostLog
from gateway.rates import RateLimits, Spending

LONGEST_DAYS: Final = 3660


class ReportCosts:
    """Reports recorded costs. The write scope sees the sums of its own tenant; the admin scope, which administers
    tenants, sees users and other tenants too."""

    def __init__(self, log: CostLog | None, rates: RateLimits, clock: Clock) -> None:
        self._log = log
        self._rates = rates
        self._clock = clock

    async def report(
        self,
        caller: Caller,
        by: Grouping,
        *,
        since: date | None = None,
        until: date | None = None,
        tenant_id: str = "",
        all_tenants: bool = False,
    ) -> CostReport:
        """Costs from ``since`` (today) up to and with ``until`` (today), of ``tenant_id`` (the caller's own).

        Raises:
            PermissionDenied: MISSING_SCOPE.
            InvalidRequest: INVALID_PERIOD, AMBIGUOUS_TENANT.
            FailedPrecondition: COSTS_NOT_KEPT.
        """
        others = all_tenants or tenant_id not in ("", caller.tenant_id)
        wanted = Scope.ADMIN if others or by is Grouping.USER else Scope.WRITE
        if not {wanted, Scope.ADMIN} & caller.scopes:
            raise PermissionDenied(
                f"This report needs the {wanted} scope.", reason="MISSING_SCOPE", metadata={"scope": wanted}
            )
        self._rates.spend(Spending.READ, caller)
        if all_tenants and tenant_id:
            raise InvalidRequest("Name one tenant, or ask for all.", reason="AMBIGUOUS_TENANT")
        today = self._clock.now().astimezone(UTC).date()
        since, until = since or today, until or today
        if since > until or (until - since).days > LONGEST_DAYS:
            raise InvalidRequest("The period ends before it begins, or is too long.", reason="INVALID_PERIOD")
        if self._log is None:
            raise FailedPrecondition(
                "This gateway keeps no costs: read them from its metrics (headwater_gateway_cost_total).",
                reason="COSTS_NOT_KEPT",
            )
        query = CostQuery(since, until, by, None if all_tenants else tenant_id or caller.tenant_id)
        return CostReport(query, await self._log.report(query))
