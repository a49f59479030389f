"""Routes for documents on hold, and for those that wait for a reviewer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from gateway.http import bodies
from gateway.http.answers import use_cases_of
from gateway.http.identity import CallerOf
from headwater.ingest.v1 import reviews_pb2

router = APIRouter(prefix="/v1")


class HoldBody(bodies.Request):
    """A document that nobody shall be served."""

    document_id: str
    reason: str = Field("", description="For those who see the hold; at most 300 characters.")


class HeldDocumentBody(bodies.Response):
    """A document that nobody is served."""

    document_id: str
    since: datetime
    held_by: str
    reason: str
    document_version: int
    title: str


class HoldsBody(bodies.Response):
    """One page of documents on hold."""

    holds: list[HeldDocumentBody]
    next_page_token: str


@router.post("/holds", summary="Keep a document out of everything that is served; scope review or admin")
async def hold_document(body: HoldBody, request: Request, caller: CallerOf) -> HeldDocumentBody:
    """As ReviewService.HoldDocument."""
    message = reviews_pb2.HoldDocumentRequest(document_id=body.document_id, reason=body.reason)
    return HeldDocumentBody.of((await use_cases_of(request).reviews.hold(message, caller)).hold)


@router.delete("/holds/{document_id:path}", status_code=204, summary="Release a document; scope review or admin")
async def release_document(
    document_id: str,
    request: Request,
    caller: CallerOf,
    document_version: Annotated[
        int, Query(ge=0, le=2**63 - 1, description="The version that was looked at; 0: whatever there is.")
    ] = 0,
) -> Response:
    """As ReviewService.ReleaseDocument."""
    message = reviews_pb2.ReleaseDocumentRequest(document_id=document_id, document_version=document_version)
    await use_cases_of(request).reviews.release(message, caller)
    return Response(status_code=204)


@router.get("/holds", summary="Documents on hold; scope review or admin")
async def list_holds(
    request: Request,
    caller: CallerOf,
    page_size: Annotated[int, Query(ge=0, le=1000)] = 0,
    page_token: str = "",
) -> HoldsBody:
    """As ReviewService.ListHolds."""
    message = reviews_pb2.ListHoldsRequest(page_size=page_size, page_token=page_token)
    return HoldsBody.of(await use_cases_of(request).reviews.holds(message, caller))


State = Literal["open", "approved", "edited", "rejected"]


class ReviewBody(bodies.Response):
    """One version of a document, and one reason to look at it."""

    review_id: str
    document_id: str
    document_version: int
    reason: bodies.Name
    detail: str
    holds: bool
    raised_by: str
    raised_at: datetime
    state: bodies.Name
    decided_by: str
    decided_at: datetime | None = None
    note: str
    title: str


class ReviewsBody(bodies.Response):
    """One page of the review queue."""

    reviews: list[ReviewBody]
    next_page_token: str


class DecisionBody(bodies.Request):
    """What a reviewer decides."""

    decision: Literal["approved", "edited", "rejected"]
    note: str = Field("", description="At most 300 characters.")


@router.get("/reviews", summary="The review queue; scope review or admin")
async def list_reviews(
    request: Request,
    caller: CallerOf,
    state: Annotated[State | None, Query(description="Default: all.")] = None,
    page_size: Annotated[int, Query(ge=0, le=1000)] = 0,
    page_token: str = "",
) -> ReviewsBody:
    """As ReviewService.ListReviews."""
    message = reviews_pb2.ListReviewsRequest(
        state=_state(state or "unspecified"), page_size=page_size, page_token=page_token
    )
    return ReviewsBody.of(await use_cases_of(request).reviews.list(message, caller))


@router.post("/reviews/{review_id}/decision", summary="Decide on a document; scope review or admin")
async def decide_review(review_id: str, body: DecisionBody, request: Request, caller: CallerOf) -> ReviewBody:
    """As ReviewService.DecideReview."""
    message = reviews_pb2.DecideReviewRequest(review_id=review_id, decision=_state(body.decision), note=body.note)
    return ReviewBody.of((await use_cases_of(request).reviews.decide(message, caller)).review)


def _state(name: str) -> reviews_pb2.ReviewState.ValueType:
    return reviews_pb2.ReviewState.Value(f"REVIEW_STATE_{name.upper()}")
