"""Costs as protobuf."""

from __future__ import annotations

from gateway.costs.domain import QueryCost
from headwater.gateway.v1 import costs_pb2


def cost_message(cost: QueryCost) -> costs_pb2.QueryCost:
    """What a question came to."""
    return costs_pb2.QueryCost(
        currency=cost.currency,
        stages=[
            costs_pb2.StageCost(
                stage=each.stage.value,
                unit=each.stage.unit.value,
                quantity=each.quantity,
                amount=None if each.amount is None else f"{each.amount:f}",
            )
            for each in cost.stages
        ],
        total=f"{cost.total:f}",
        complete=cost.complete,
    )
