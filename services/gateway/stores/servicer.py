"""Audits, rebuilds and earlier versions, as the ingest service knows them: the gateway serves the same services, checks
scope and rate, and passes whole messages on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from chassis.identity import Scope, current_caller
from chassis.rpc.client import call, stream
from gateway.rates import RateLimits, Spending
from headwater.ingest.v1 import stores_pb2, stores_pb2_grpc, versions_pb2, versions_pb2_grpc

Context = Any

LONGEST_SECONDS = 12 * 3600.0
"""Of an audit or a rebuild whose caller set no deadline."""


class ForwardedStores(stores_pb2_grpc.StoreServiceServicer):
    """Each method is described in the proto. The ingest service checks the scope once more, by the caller it is
    told."""

    def __init__(self, ingest: grpc.aio.Channel, rates: RateLimits) -> None:
        self._stub = stores_pb2_grpc.StoreServiceStub(ingest)
        self._rates = rates

    async def AuditStores(
        self, request: stores_pb2.AuditStoresRequest, context: Context
    ) -> AsyncIterator[stores_pb2.AuditStoresResponse]:
        """See the proto."""
        async for response in self._forward(self._stub.AuditStores, request):
            yield response

    async def RebuildStore(
        self, request: stores_pb2.RebuildStoreRequest, context: Context
    ) -> AsyncIterator[stores_pb2.RebuildStoreResponse]:
        """See the proto."""
        async for response in self._forward(self._stub.RebuildStore, request):
            yield response

    async def _forward(self, method: Any, request: Any) -> AsyncIterator[Any]:
        caller = current_caller()
        caller.require(Scope.ADMIN)
        self._rates.spend(Spending.WRITE, caller)
        async with aclosing(stream(method, request, timeout_seconds=LONGEST_SECONDS, as_caller=caller)) as responses:
            async for response in responses:
                yield response


class ForwardedVersions(versions_pb2_grpc.VersionServiceServicer):
    """Each method is described in the proto."""

    def __init__(self, ingest: grpc.aio.Channel, rates: RateLimits, seconds: float) -> None:
        self._stub = versions_pb2_grpc.VersionServiceStub(ingest)
        self._rates = rates
        self._seconds = seconds

    async def ListVersions(
        self, request: versions_pb2.ListVersionsRequest, context: Context
    ) -> versions_pb2.ListVersionsResponse:
        """See the proto."""
        reply: versions_pb2.ListVersionsResponse = await self._forward(self._stub.ListVersions, request, Spending.READ)
        return reply

    async def RollbackDocument(
        self, request: versions_pb2.RollbackDocumentRequest, context: Context
    ) -> versions_pb2.RollbackDocumentResponse:
        """See the proto."""
        reply: versions_pb2.RollbackDocumentResponse = await self._forward(
            self._stub.RollbackDocument, request, Spending.WRITE
        )
        return reply

    async def _forward(self, method: Any, request: Any, spending: Spending) -> Any:
        caller = current_caller()
        caller.require(Scope.WRITE)
        self._rates.spend(spending, caller)
        return await call(method, request, timeout_seconds=self._seconds, as_caller=caller)
