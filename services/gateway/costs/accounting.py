"""Prices what questions used, counts it in metrics, and keeps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, DependencyUnavailable, Overloaded
from chassis.identity import Caller
from chassis.telemetry import metrics
from gateway.costs.domain import Account, CostEntry, PriceTable, QueryCost, Stage
from gateway.costs.ports import CostLog

UNRECORDED: Final = "cost_log"
"""Name in ``degraded`` for an answer whose cost is in no report."""

OTHER_TENANTS: Final = "other"


class CostAccounting:
    """What questions come to.

    Args:
        prices: What things cost.
        log: Where it is kept; None keeps nothing but metrics.
        metric_tenants: Tenants that metrics name, in the order of their first question; all others are one. A metric
            must not grow with the number of tenants.
    """

    def __init__(self, prices: PriceTable, log: CostLog | None, clock: Clock, *, metric_tenants: int) -> None:
        self._prices = prices
        self._log = log
        self._clock = clock
        self._tenant_label = _bounded(metric_tenants)

    def cost_of(self, account: Account) -> QueryCost:
        """What the use came to so far."""
        return self._prices.cost_of(account)

    async def settle(self, caller: Caller, cost: QueryCost) -> bool:
        """Counts and keeps a question's cost; False when it could not be kept. Once per question."""
        tenant = self._tenant_label(caller.tenant_id)
        for each in cost.stages:
            if each.amount is None:
                metrics.GATEWAY_COST_UNPRICED.add(stage=each.stage.value)
            elif each.amount and each.stage is Stage.CACHE_SAVINGS:
                metrics.GATEWAY_CACHE_SAVED_COST.add(float(each.amount), tenant=tenant, currency=cost.currency)
            elif each.amount:
                metrics.GATEWAY_COST.add(
                    float(each.amount), tenant=tenant, stage=each.stage.value, currency=cost.currency
                )
        if self._log is None or not any(each.quantity for each in cost.stages):
            return True
        entry = CostEntry(caller.tenant_id, caller.subject, self._clock.now().date(), cost)
        try:
            await self._log.record(entry)
        except (DependencyUnavailable, DeadlineExceeded, Overloaded):
            return False
        return True


def _bounded(most: int) -> Callable[[str], str]:
    known: set[str] = set()

    def label(tenant_id: str) -> str:
        if tenant_id not in known:
            if len(known) >= most:
                return OTHER_TENANTS
            known.add(tenant_id)
        return tenant_id

    return label
