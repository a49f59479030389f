"""Routes for documents on hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

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
