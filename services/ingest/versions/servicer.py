"""gRPC edge of earlier versions."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import current_caller
from headwater.ingest.v1 import versions_pb2, versions_pb2_grpc
from ingest import messages
from ingest.versions.rollback import RollBackDocuments

Context = grpc.aio.ServicerContext[Any, Any]


class VersionServicer(versions_pb2_grpc.VersionServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, rollbacks: RollBackDocuments) -> None:
        self._rollbacks = rollbacks

    async def ListVersions(
        self, request: versions_pb2.ListVersionsRequest, context: Context
    ) -> versions_pb2.ListVersionsResponse:
        """See the proto."""
        kept = await self._rollbacks.versions(current_caller(), messages.document_id(request.document_id))
        return versions_pb2.ListVersionsResponse(
            versions=[
                versions_pb2.StoredVersion(
                    version=each.version,
                    served=each.served,
                    restorable=each.restorable,
                    chunks=each.chunks,
                    title=each.title,
                )
                for each in kept
            ]
        )

    async def RollbackDocument(
        self, request: versions_pb2.RollbackDocumentRequest, context: Context
    ) -> versions_pb2.RollbackDocumentResponse:
        """See the proto."""
        document_id = messages.document_id(request.document_id)
        made = await self._rollbacks.roll_back(current_caller(), document_id, request.to_version)
        return versions_pb2.RollbackDocumentResponse(
            receipt=messages.receipt(made.receipt),
            restored_version=made.restored_version,
            without_readers=made.without_readers,
        )
