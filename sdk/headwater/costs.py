"""What questions cost: types, and calls of an ``AsyncClient``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

import grpc

from headwater import channel
from headwater.gateway.v1 import costs_pb2, costs_pb2_grpc

CostGrouping = Literal["stage", "tenant", "user"]
_GROUPINGS: Final = {
    "stage": costs_pb2.COST_GROUPING_STAGE,
    "tenant": costs_pb2.COST_GROUPING_TENANT,
    "user": costs_pb2.COST_GROUPING_USER,
}


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage of a question came to; ``amount`` is None where its price is not known. ``unit``: tokens or
    searches."""

    stage: str
    unit: str
    quantity: int
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class QueryCost:
    """What a question came to. ``total`` adds up what is known, which is everything where ``complete``; savings of
    caches are no part of it."""

    currency: str
    stages: tuple[StageCost, ...]
    total: Decimal
    complete: bool


@dataclass(frozen=True, slots=True)
class CostRow:
    """Sums of one stage; ``tenant_id`` and ``subject`` are empty where a row is not of a single one. ``unpriced``: how
    much of ``quantity`` has no price; ``questions``: how many used the stage."""

    tenant_id: str
    subject: str
    stage: str
    unit: str
    currency: str
    quantity: int
    unpriced: int
    amount: Decimal
    questions: int


@dataclass(frozen=True, slots=True)
class CostReport:
    """Recorded costs from the day ``since`` up to and with ``until``, in UTC."""

    since: date
    until: date
    rows: tuple[CostRow, ...]


class Costs:
    """Calls of an ``AsyncClient``."""

    def __init__(self, opened: grpc.aio.Channel, read: Callable[[Any, Any, float], Awaitable[Any]]) -> None:
        self._stub: costs_pb2_grpc.CostServiceAsyncStub = costs_pb2_grpc.CostServiceStub(opened)
        self._read = read

    async def report(
        self,
        by: CostGrouping = "stage",
        *,
        since: date | None = None,
        until: date | None = None,
        tenant_id: str = "",
        all_tenants: bool = False,
    ) -> CostReport:
        """Recorded costs of days in UTC (today's) of a tenant (the caller's own). Needs the write scope, and the admin
        scope for users and other tenants. Raises PreconditionError where none are kept."""
        request = costs_pb2.GetCostsRequest(
            since=since.isoformat() if since else "",
            until=until.isoformat() if until else "",
            by=_GROUPINGS[by],
            tenant_id=tenant_id,
            all_tenants=all_tenants,
        )
        reply = await self._read(self._stub.GetCosts, request, channel.READ_SECONDS)
        return CostReport(
            date.fromisoformat(reply.since), date.fromisoformat(reply.until), tuple(_row(each) for each in reply.rows)
        )


def query_cost(message: costs_pb2.QueryCost) -> QueryCost:
    """A question's cost from protobuf."""
    return QueryCost(
        currency=message.currency,
        stages=tuple(
            StageCost(each.stage, each.unit, each.quantity, Decimal(each.amount) if each.HasField("amount") else None)
            for each in message.stages
        ),
        total=Decimal(message.total),
        complete=message.complete,
    )


def _row(message: costs_pb2.CostRow) -> CostRow:
    return CostRow(
        tenant_id=message.tenant_id,
        subject=message.subject,
        stage=message.stage,
        unit=message.unit,
        currency=message.currency,
        quantity=message.quantity,
        unpriced=message.unpriced,
        amount=Decimal(message.amount),
        questions=message.questions,
    )
