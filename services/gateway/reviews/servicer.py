"""The gateway serves the same service, checks scope and rate, and passes whole messages on."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import Caller, Scope, current_caller
from chassis.rpc.client import call
from gateway.rates import RateLimits, Spending
from headwater.ingest.v1 import reviews_pb2, reviews_pb2_grpc

Context = Any


class ForwardedReviews(reviews_pb2_grpc.ReviewServiceServicer):
    """Each method is described in the proto. The ingest service checks the scope once more, by the caller it is told.
    Methods of both edges take the caller, those of gRPC alone find him in the context."""

    def __init__(self, ingest: grpc.aio.Channel, rates: RateLimits, seconds: float) -> None:
        self._stub = reviews_pb2_grpc.ReviewServiceStub(ingest)
        self._rates = rates
        self._seconds = seconds

    async def HoldDocument(
        self, request: reviews_pb2.HoldDocumentRequest, context: Context
    ) -> reviews_pb2.HoldDocumentResponse:
        """See the proto."""
        return await self.hold(request, current_caller())

    async def hold(self, request: reviews_pb2.HoldDocumentRequest, caller: Caller) -> reviews_pb2.HoldDocumentResponse:
        """As HoldDocument."""
        reply: reviews_pb2.HoldDocumentResponse = await self._forward(
            self._stub.HoldDocument, request, Spending.WRITE, caller
        )
        return reply

    async def ReleaseDocument(
        self, request: reviews_pb2.ReleaseDocumentRequest, context: Context
    ) -> reviews_pb2.ReleaseDocumentResponse:
        """See the proto."""
        return await self.release(request, current_caller())

    async def release(
        self, request: reviews_pb2.ReleaseDocumentRequest, caller: Caller
    ) -> reviews_pb2.ReleaseDocumentResponse:
        """As ReleaseDocument."""
        reply: reviews_pb2.ReleaseDocumentResponse = await self._forward(
            self._stub.ReleaseDocument, request, Spending.WRITE, caller
        )
        return reply

    async def ListHolds(self, request: reviews_pb2.ListHoldsRequest, context: Context) -> reviews_pb2.ListHoldsResponse:
        """See the proto."""
        return await self.holds(request, current_caller())

    async def holds(self, request: reviews_pb2.ListHoldsRequest, caller: Caller) -> reviews_pb2.ListHoldsResponse:
        """As ListHolds."""
        reply: reviews_pb2.ListHoldsResponse = await self._forward(self._stub.ListHolds, request, Spending.READ, caller)
        return reply

    async def ListReviews(
        self, request: reviews_pb2.ListReviewsRequest, context: Context
    ) -> reviews_pb2.ListReviewsResponse:
        """See the proto."""
        return await self.list(request, current_caller())

    async def list(self, request: reviews_pb2.ListReviewsRequest, caller: Caller) -> reviews_pb2.ListReviewsResponse:
        """As ListReviews."""
        reply: reviews_pb2.ListReviewsResponse = await self._forward(
            self._stub.ListReviews, request, Spending.READ, caller
        )
        return reply

    async def DecideReview(
        self, request: reviews_pb2.DecideReviewRequest, context: Context
    ) -> reviews_pb2.DecideReviewResponse:
        """See the proto."""
        return await self.decide(request, current_caller())

    async def decide(
        self, request: reviews_pb2.DecideReviewRequest, caller: Caller
    ) -> reviews_pb2.DecideReviewResponse:
        """As DecideReview."""
        reply: reviews_pb2.DecideReviewResponse = await self._forward(
            self._stub.DecideReview, request, Spending.WRITE, caller
        )
        return reply

    async def _forward(self, method: Any, request: Any, spending: Spending, caller: Caller) -> Any:
        if Scope.ADMIN not in caller.scopes:
            caller.require(Scope.REVIEW)
        self._rates.spend(spending, caller)
        return await call(method, request, timeout_seconds=self._seconds, as_caller=caller)
