"""gRPC edge of reviews."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import current_caller
from headwater.ingest.v1 import reviews_pb2, reviews_pb2_grpc
from ingest import messages
from ingest.codec import to_timestamp
from ingest.reviews.holds import HeldDocument, HoldDocuments

Context = grpc.aio.ServicerContext[Any, Any]


class ReviewServicer(reviews_pb2_grpc.ReviewServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, holds: HoldDocuments) -> None:
        self._holds = holds

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
