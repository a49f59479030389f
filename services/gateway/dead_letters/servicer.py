"""Dead letters, as the ingest service keeps them: the gateway serves the same service, checks scope and rate, and
passes whole messages on."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import Scope, current_caller
from chassis.rpc.client import call
from gateway.rates import RateLimits, Spending
from headwater.ingest.v1 import dead_letters_pb2, dead_letters_pb2_grpc

Context = Any


class ForwardedDeadLetters(dead_letters_pb2_grpc.DeadLetterServiceServicer):
    """Each method is described in the proto. The ingest service checks the scope once more, by the caller it is
    told."""

    def __init__(self, ingest: grpc.aio.Channel, rates: RateLimits, seconds: float) -> None:
        self._stub = dead_letters_pb2_grpc.DeadLetterServiceStub(ingest)
        self._rates = rates
        self._seconds = seconds

    async def ListDeadLetters(
        self, request: dead_letters_pb2.ListDeadLettersRequest, context: Context
    ) -> dead_letters_pb2.ListDeadLettersResponse:
        """See the proto."""
        response: dead_letters_pb2.ListDeadLettersResponse = await self._forward(
            self._stub.ListDeadLetters, request, Spending.READ
        )
        return response

    async def GetDeadLetter(
        self, request: dead_letters_pb2.GetDeadLetterRequest, context: Context
    ) -> dead_letters_pb2.GetDeadLetterResponse:
        """See the proto."""
        response: dead_letters_pb2.GetDeadLetterResponse = await self._forward(
            self._stub.GetDeadLetter, request, Spending.READ
        )
        return response

    async def ReplayDeadLetters(
        self, request: dead_letters_pb2.ReplayDeadLettersRequest, context: Context
    ) -> dead_letters_pb2.ReplayDeadLettersResponse:
        """See the proto."""
        response: dead_letters_pb2.ReplayDeadLettersResponse = await self._forward(
            self._stub.ReplayDeadLetters, request, Spending.WRITE
        )
        return response

    async def DiscardDeadLetters(
        self, request: dead_letters_pb2.DiscardDeadLettersRequest, context: Context
    ) -> dead_letters_pb2.DiscardDeadLettersResponse:
        """See the proto."""
        response: dead_letters_pb2.DiscardDeadLettersResponse = await self._forward(
            self._stub.DiscardDeadLetters, request, Spending.WRITE
        )
        return response

    async def ForgetKnownBad(
        self, request: dead_letters_pb2.ForgetKnownBadRequest, context: Context
    ) -> dead_letters_pb2.ForgetKnownBadResponse:
        """See the proto."""
        response: dead_letters_pb2.ForgetKnownBadResponse = await self._forward(
            self._stub.ForgetKnownBad, request, Spending.WRITE
        )
        return response

    async def ResumeIngestion(
        self, request: dead_letters_pb2.ResumeIngestionRequest, context: Context
    ) -> dead_letters_pb2.ResumeIngestionResponse:
        """See the proto."""
        response: dead_letters_pb2.ResumeIngestionResponse = await self._forward(
            self._stub.ResumeIngestion, request, Spending.WRITE
        )
        return response

    async def _forward(self, method: Any, request: Any, spending: Spending) -> Any:
        caller = current_caller()
        caller.require(Scope.ADMIN)
        self._rates.spend(spending, caller)
        return await call(method, request, timeout_seconds=self._seconds, as_caller=caller)
