"""Bodies about costs."""

from __future__ import annotations

from pydantic import Field

from gateway.http.bodies import Response


class StageCostBody(Response):
    """What one stage of a question came to."""

    stage: str
    unit: str = Field(description="tokens or searches.")
    quantity: int
    amount: str | None = Field(None, description="Exact decimal; null where its price is not known.")


class QueryCostBody(Response):
    """What a question came to."""

    currency: str
    stages: list[StageCostBody]
    total: str = Field(description="Sum of the known amounts, without savings.")
    complete: bool = Field(description="Whether every stage that was used has a price.")
