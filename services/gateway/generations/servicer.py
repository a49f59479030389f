"""Generations, as the ingest service knows them: the gateway serves the same service, checks scope and rate, and passes
whole messages on."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import Scope, current_caller
from chassis.rpc.client import call
from gateway.rates import RateLimits, Spending
from headwater.ingest.v1 import generations_pb2, generations_pb2_grpc

Context = Any

COUNTING_SECONDS = 120.0
"""What is missing is counted over all heads, of all tenants."""
CHANGING_SECONDS = 3_600.0
"""The same, and a count that is cut off would have to begin again: a million heads take two minutes on servers."""


class ForwardedGenerations(generations_pb2_grpc.GenerationServiceServicer):
    """Each method is described in the proto. The ingest service checks the scope once more, by the caller it is
    told."""

    def __init__(self, ingest: grpc.aio.Channel, rates: RateLimits) -> None:
        self._stub = generations_pb2_grpc.GenerationServiceStub(ingest)
        self._rates = rates

    async def GetGenerationStatus(
        self, request: generations_pb2.GetGenerationStatusRequest, context: Context
    ) -> generations_pb2.GetGenerationStatusResponse:
        """See the proto."""
        response: generations_pb2.GetGenerationStatusResponse = await self._forward(
            self._stub.GetGenerationStatus, request, Spending.READ
        )
        return response

    async def CreateGeneration(
        self, request: generations_pb2.CreateGenerationRequest, context: Context
    ) -> generations_pb2.CreateGenerationResponse:
        """See the proto."""
        response: generations_pb2.CreateGenerationResponse = await self._forward(self._stub.CreateGeneration, request)
        return response

    async def RecordComparison(
        self, request: generations_pb2.RecordComparisonRequest, context: Context
    ) -> generations_pb2.RecordComparisonResponse:
        """See the proto."""
        response: generations_pb2.RecordComparisonResponse = await self._forward(self._stub.RecordComparison, request)
        return response

    async def PromoteGeneration(
        self, request: generations_pb2.PromoteGenerationRequest, context: Context
    ) -> generations_pb2.PromoteGenerationResponse:
        """See the proto."""
        response: generations_pb2.PromoteGenerationResponse = await self._forward(
            self._stub.PromoteGeneration, request, seconds=CHANGING_SECONDS
        )
        return response

    async def RollbackGeneration(
        self, request: generations_pb2.RollbackGenerationRequest, context: Context
    ) -> generations_pb2.RollbackGenerationResponse:
        """See the proto."""
        response: generations_pb2.RollbackGenerationResponse = await self._forward(
            self._stub.RollbackGeneration, request, seconds=CHANGING_SECONDS
        )
        return response

    async def DropGeneration(
        self, request: generations_pb2.DropGenerationRequest, context: Context
    ) -> generations_pb2.DropGenerationResponse:
        """See the proto."""
        response: generations_pb2.DropGenerationResponse = await self._forward(
            self._stub.DropGeneration, request, seconds=CHANGING_SECONDS
        )
        return response

    async def _forward(
        self, method: Any, request: Any, spending: Spending = Spending.WRITE, seconds: float = COUNTING_SECONDS
    ) -> Any:
        caller = current_caller()
        caller.require(Scope.ADMIN)
        self._rates.spend(spending, caller)
        return await call(method, request, timeout_seconds=seconds, as_caller=caller)
