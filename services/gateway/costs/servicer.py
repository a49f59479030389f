"""gRPC edge of costs."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from chassis.errors import InvalidRequest
from chassis.identity import current_caller
from gateway.costs.domain import CostRow, Grouping
from gateway.costs.report import ReportCosts
from headwater.gateway.v1 import costs_pb2, costs_pb2_grpc

Context = Any

_GROUPINGS: Final = {
    costs_pb2.COST_GROUPING_UNSPECIFIED: Grouping.STAGE,
    costs_pb2.COST_GROUPING_STAGE: Grouping.STAGE,
    costs_pb2.COST_GROUPING_TENANT: Grouping.TENANT,
    costs_pb2.COST_GROUPING_USER: Grouping.USER,
}


class CostServicer(costs_pb2_grpc.CostServiceServicer):
    """Translates requests and replies; decides nothing. Each method is described in the proto."""

    def __init__(self, costs: ReportCosts) -> None:
        self._costs = costs

    async def GetCosts(self, request: costs_pb2.GetCostsRequest, context: Context) -> costs_pb2.GetCostsResponse:
        """See the proto."""
        by = _GROUPINGS.get(request.by)
        if by is None:
            raise InvalidRequest("Costs are by stage, tenant or user.", reason="UNKNOWN_GROUPING")
        report = await self._costs.report(
            current_caller(),
            by,
            since=_day(request.since),
            until=_day(request.until),
            tenant_id=request.tenant_id,
            all_tenants=request.all_tenants,
        )
        return costs_pb2.GetCostsResponse(
            since=report.query.since.isoformat(),
            until=report.query.until.isoformat(),
            rows=[_row_message(row) for row in report.rows],
        )


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest('Write a day as "2026-11-21".', reason="INVALID_PERIOD") from None


def _row_message(row: CostRow) -> costs_pb2.CostRow:
    return costs_pb2.CostRow(
        tenant_id=row.tenant_id,
        subject=row.subject,
        stage=row.stage.value,
        unit=row.stage.unit.value,
        currency=row.currency,
        quantity=row.quantity,
        unpriced=row.unpriced,
        amount=f"{row.amount:f}",
        questions=row.questions,
    )
