"""The vault, as the ingest service keeps it: the gateway serves the same service, checks scope and rate, and passes
whole messages on."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import Caller, Scope, current_caller
from chassis.rpc.client import call
from gateway.rates import RateLimits, Spending
from headwater.ingest.v1 import privacy_pb2, privacy_pb2_grpc

Context = Any

ROTATING_SECONDS = 120.0
"""One step of a rotation reads and writes hundreds of records."""


class ForwardedPrivacy(privacy_pb2_grpc.PrivacyServiceServicer):
    """Each method is described in the proto. The ingest service checks the scope once more, by the caller it is
    told."""

    def __init__(self, ingest: grpc.aio.Channel, rates: RateLimits, seconds: float) -> None:
        self._stub = privacy_pb2_grpc.PrivacyServiceStub(ingest)
        self._rates = rates
        self._seconds = seconds

    async def RevealPseudonyms(
        self, request: privacy_pb2.RevealPseudonymsRequest, context: Context
    ) -> privacy_pb2.RevealPseudonymsResponse:
        """See the proto."""
        return await self.reveal(request, current_caller())

    async def reveal(
        self, request: privacy_pb2.RevealPseudonymsRequest, caller: Caller
    ) -> privacy_pb2.RevealPseudonymsResponse:
        """Errors: as PrivacyService.RevealPseudonyms; RATE_LIMITED."""
        caller.require(Scope.REVEAL)
        self._rates.spend(Spending.READ, caller)
        return await self.revealed(request, caller)

    async def revealed(
        self, request: privacy_pb2.RevealPseudonymsRequest, caller: Caller
    ) -> privacy_pb2.RevealPseudonymsResponse:
        """The same as a part of a call that was counted already."""
        caller.require(Scope.REVEAL)
        method: Any = self._stub.RevealPseudonyms
        response: privacy_pb2.RevealPseudonymsResponse = await call(
            method, request, timeout_seconds=self._seconds, as_caller=caller, carries=frozenset({Scope.REVEAL})
        )
        return response

    async def ListVaultKeys(
        self, request: privacy_pb2.ListVaultKeysRequest, context: Context
    ) -> privacy_pb2.ListVaultKeysResponse:
        """See the proto."""
        response: privacy_pb2.ListVaultKeysResponse = await self._operate(self._stub.ListVaultKeys, request)
        return response

    async def RotateVault(
        self, request: privacy_pb2.RotateVaultRequest, context: Context
    ) -> privacy_pb2.RotateVaultResponse:
        """See the proto."""
        response: privacy_pb2.RotateVaultResponse = await self._operate(self._stub.RotateVault, request)
        return response

    async def _operate(self, method: Any, request: Any) -> Any:
        caller = current_caller()
        caller.require(Scope.ADMIN)
        self._rates.spend(Spending.WRITE, caller)
        return await call(method, request, timeout_seconds=ROTATING_SECONDS, as_caller=caller)
