"""gRPC edge of reviews."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import current_caller
from corpus.reviews import ReviewItem, ReviewReason, ReviewState
from headwater.ingest.v1 import reviews_pb2, reviews_pb2_grpc
from ingest import messages
from ingest.codec import to_timestamp
from ingest.dead_letters.messages import page_token, read_page_token
from ingest.reviews.decide import DecideReviews
from ingest.reviews.holds import HeldDocument, HoldDocuments

Context = grpc.aio.ServicerContext[Any, Any]

_REASONS = {
    ReviewReason.EMPTY: reviews_pb2.REVIEW_REASON_EMPTY,
    ReviewReason.UNREADABLE: reviews_pb2.REVIEW_REASON_UNREADABLE,
    ReviewReason.STALE: reviews_pb2.REVIEW_REASON_STALE,
}
_STATES = {
    ReviewState.OPEN: reviews_pb2.REVIEW_STATE_OPEN,
    ReviewState.APPROVED: reviews_pb2.REVIEW_STATE_APPROVED,
    ReviewState.EDITED: reviews_pb2.REVIEW_STATE_EDITED,
    ReviewState.REJECTED: reviews_pb2.REVIEW_STATE_REJECTED,
}
_STATE_OF = {number: state for state, number in _STATES.items()}


class ReviewServicer(reviews_pb2_grpc.ReviewServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, holds: HoldDocuments, reviews: DecideReviews) -> None:
        self._holds = holds
        self._reviews = reviews

    async def HoldDocument(
        self, request: reviews_pb2.HoldDocumentRequest, context: Context
    ) -> reviews_pb2.HoldDocumentResponse:
        """See the proto."""
        document_id = messages.document_id(request.document_id)
        held = await self._holds.hold(current_caller(), document_id, request.reason)
        return reviews_pb2.HoldDocumentResponse(hold=_held(held))

    async def ReleaseDocument(
        self, request: reviews_pb2.ReleaseDocumentRequest, context: Context
    ) -> reviews_pb2.ReleaseDocumentResponse:
        """See the proto."""
        document_id = messages.document_id(request.document_id)
        await self._holds.release(current_caller(), document_id, request.document_version)
        return reviews_pb2.ReleaseDocumentResponse()

    async def ListHolds(self, request: reviews_pb2.ListHoldsRequest, context: Context) -> reviews_pb2.ListHoldsResponse:
        """See the proto."""
        held, following = await self._holds.list(current_caller(), request.page_token, request.page_size)
        return reviews_pb2.ListHoldsResponse(holds=[_held(each) for each in held], next_page_token=following)

    async def ListReviews(
        self, request: reviews_pb2.ListReviewsRequest, context: Context
    ) -> reviews_pb2.ListReviewsResponse:
        """See the proto."""
        after = read_page_token(request.page_token)
        state = _STATE_OF.get(request.state)
        found, last = await self._reviews.list(current_caller(), state, after, request.page_size)
        return reviews_pb2.ListReviewsResponse(
            reviews=[_review(each.item, each.head.title if each.head is not None else "") for each in found],
            next_page_token=page_token(last.raised_at, last.review_id) if last is not None else "",
        )

    async def DecideReview(
        self, request: reviews_pb2.DecideReviewRequest, context: Context
    ) -> reviews_pb2.DecideReviewResponse:
        """See the proto."""
        decision = _STATE_OF.get(request.decision, ReviewState.OPEN)
        item = await self._reviews.decide(current_caller(), request.review_id, decision, request.note)
        return reviews_pb2.DecideReviewResponse(review=_review(item))


def _review(item: ReviewItem, title: str = "") -> reviews_pb2.Review:
    message = reviews_pb2.Review(
        review_id=item.review_id,
        document_id=item.key.document_id,
        document_version=item.version,
        reason=_REASONS[item.reason],
        detail=item.detail,
        holds=item.held,
        raised_by=item.raised_by,
        raised_at=to_timestamp(item.raised_at),
        state=_STATES[item.state],
        decided_by=item.decided_by,
        note=item.note,
        title=title,
    )
    if item.decided_at is not None:
        message.decided_at.CopyFrom(to_timestamp(item.decided_at))
    return message


def _held(held: HeldDocument) -> reviews_pb2.HeldDocument:
    hold, head = held.hold, held.head
    return reviews_pb2.HeldDocument(
        document_id=hold.key.document_id,
        since=to_timestamp(hold.changed_at),
        held_by=hold.by,
        reason=hold.reason,
        document_version=head.version if head is not None else 0,
        title=head.title if head is not None else "",
    )
