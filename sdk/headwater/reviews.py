"""Documents that somebody has to look at, and those that are held back until then (scope review or admin)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc

from headwater import channel, messages
from headwater.ingest.v1 import reviews_pb2, reviews_pb2_grpc

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


def _held(message: reviews_pb2.HeldDocument) -> HeldDocument:
    return HeldDocument(
        message.document_id,
        messages.moment(message.since),
        message.held_by,
        message.reason,
        message.document_version,
        message.title,
    )
