"""Documents that somebody has to look at, and those that are held back until then (scope review or admin)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import grpc

from headwater import channel, messages
from headwater.ingest.v1 import reviews_pb2, reviews_pb2_grpc

Decision = Literal["approved", "edited", "rejected"]
ReviewChoice = Literal["open", "approved", "edited", "rejected"]
_Call = Callable[[Any, Any, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """A document that nobody is served. ``held_by``: who held it, or "rule:" and the rule; ``document_version``: 0
    while no version of it was applied."""

    document_id: str
    since: datetime
    held_by: str
    reason: str
    document_version: int
    title: str


@dataclass(frozen=True, slots=True)
class Review:
    """One version of a document, and one ``reason`` to look at it: empty, unreadable or stale. ``state``: open,
    approved, edited or rejected. ``holds``: the rule put the document on hold."""

    review_id: str
    document_id: str
    document_version: int
    reason: str
    detail: str
    holds: bool
    raised_by: str
    raised_at: datetime
    state: str
    decided_by: str
    decided_at: datetime | None
    note: str
    title: str


class Reviews:
    """Calls of an ``AsyncClient``."""

    def __init__(self, opened: grpc.aio.Channel, read: _Call, write: _Call) -> None:
        self._stub: reviews_pb2_grpc.ReviewServiceAsyncStub = reviews_pb2_grpc.ReviewServiceStub(opened)
        self._read = read
        self._write = write

    async def hold(self, document_id: str, reason: str = "") -> HeldDocument:
        """Keeps a document out of everything that is served, until it is released. Safe to repeat. Raises
        NotFoundError, PermissionDeniedError."""
        request = reviews_pb2.HoldDocumentRequest(document_id=document_id, reason=reason)
        return _held((await self._write(self._stub.HoldDocument, request, channel.WRITE_SECONDS)).hold)

    async def release(self, document_id: str, *, document_version: int = 0) -> None:
        """Ends a hold; with ``document_version`` only if the document still has it. Safe to repeat. Raises
        NotFoundError, PermissionDeniedError, PreconditionError."""
        request = reviews_pb2.ReleaseDocumentRequest(document_id=document_id, document_version=document_version)
        await self._write(self._stub.ReleaseDocument, request, channel.WRITE_SECONDS)

    async def holds(self) -> AsyncIterator[HeldDocument]:
        """Documents on hold in the order of their ids."""
        token = ""
        while True:
            request = reviews_pb2.ListHoldsRequest(page_token=token)
            reply = await self._read(self._stub.ListHolds, request, channel.READ_SECONDS)
            for each in reply.holds:
                yield _held(each)
            token = reply.next_page_token
            if not token:
                return

    async def list(self, state: ReviewChoice | None = "open") -> AsyncIterator[Review]:
        """The review queue, what was raised last first; None: whatever was decided."""
        token = ""
        while True:
            number = _state(state) if state else reviews_pb2.REVIEW_STATE_UNSPECIFIED
            request = reviews_pb2.ListReviewsRequest(state=number, page_token=token)
            reply = await self._read(self._stub.ListReviews, request, channel.READ_SECONDS)
            for each in reply.reviews:
                yield _review(each)
            token = reply.next_page_token
            if not token:
                return

    async def decide(self, review_id: str, decision: Decision, note: str = "") -> Review:
        """Closes a review; what a rule holds is released, or, if rejected, put on hold. Safe to repeat. Raises
        NotFoundError, PreconditionError, ConflictError, PermissionDeniedError."""
        request = reviews_pb2.DecideReviewRequest(review_id=review_id, decision=_state(decision), note=note)
        return _review((await self._write(self._stub.DecideReview, request, channel.WRITE_SECONDS)).review)


def _state(name: str) -> reviews_pb2.ReviewState.ValueType:
    return reviews_pb2.ReviewState.Value(f"REVIEW_STATE_{name.upper()}")


def _review(message: reviews_pb2.Review) -> Review:
    return Review(
        message.review_id,
        message.document_id,
        message.document_version,
        reviews_pb2.ReviewReason.Name(message.reason).removeprefix("REVIEW_REASON_").lower(),
        message.detail,
        message.holds,
        message.raised_by,
        messages.moment(message.raised_at),
        reviews_pb2.ReviewState.Name(message.state).removeprefix("REVIEW_STATE_").lower(),
        message.decided_by,
        messages.moment(message.decided_at) if message.HasField("decided_at") else None,
        message.note,
        message.title,
    )


def _held(message: reviews_pb2.HeldDocument) -> HeldDocument:
    return HeldDocument(
        message.document_id,
        messages.moment(message.since),
        message.held_by,
        message.reason,
        message.document_version,
        message.title,
    )
