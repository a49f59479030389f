"""gRPC edge of the API role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from chassis.errors import InvalidRequest
from chassis.identity import current_caller
from corpus.ports import Tenants
from headwater.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from ingest import messages
from ingest.accept import AcceptChanges
from ingest.dead_letters.messages import halt, open_change, page_size, page_token, read_page_token
from ingest.open_changes import LookAtOpenChanges
from ingest.service import LookAtDocuments, ManageTenants

Context = grpc.aio.ServicerContext[Any, Any]


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(
        self,
        accept: AcceptChanges,
        look: LookAtDocuments,
        open_changes: LookAtOpenChanges,
        manage: ManageTenants,
        tenants: Tenants,
    ) -> None:
        self._accept = accept
        self._look = look
        self._open = open_changes
        self._manage = manage
        self._tenants = tenants

    async def PutDocument(
        self, request: ingest_pb2.PutDocumentRequest, context: Context
    ) -> ingest_pb2.PutDocumentResponse:
        """See the proto."""
        caller = current_caller()
        draft = messages.draft_of(request.draft, await self._tenants.named(caller.tenant_id))
        receipt = await self._accept.put(caller, draft, request.content, messages.lane_of(request.draft))
        return ingest_pb2.PutDocumentResponse(receipt=messages.receipt(receipt))

    async def UploadDocument(
        self, request_iterator: AsyncIterator[ingest_pb2.UploadDocumentRequest], context: Context
    ) -> ingest_pb2.UploadDocumentResponse:
        """See the proto."""
        caller = current_caller()
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("part") != "draft":
            raise InvalidRequest("An upload begins with the draft; send it before the bytes.", reason="DRAFT_MISSING")
        draft = messages.draft_of(first.draft, await self._tenants.named(caller.tenant_id))

        async def content() -> AsyncIterator[bytes]:
            async for part in request_iterator:
                if part.WhichOneof("part") != "content":
                    raise InvalidRequest("An upload has one draft, then bytes only.", reason="UNEXPECTED_DRAFT")
                yield part.content

        receipt = await self._accept.put(caller, draft, content(), messages.lane_of(first.draft))
        return ingest_pb2.UploadDocumentResponse(receipt=messages.receipt(receipt))

    async def DeleteDocument(
        self, request: ingest_pb2.DeleteDocumentRequest, context: Context
    ) -> ingest_pb2.DeleteDocumentResponse:
        """See the proto."""
        document_id = messages.document_id(request.document_id)
        receipt = await self._accept.delete(current_caller(), document_id, request.version)
        return ingest_pb2.DeleteDocumentResponse(receipt=messages.receipt(receipt))

    async def SetDocumentAccess(
        self, request: ingest_pb2.SetDocumentAccessRequest, context: Context
    ) -> ingest_pb2.SetDocumentAccessResponse:
        """See the proto."""
        receipt = await self._accept.set_access(
            current_caller(),
            messages.document_id(request.document_id),
            request.version,
            messages.principals(request.access),
            request.access.security_level,
        )
        return ingest_pb2.SetDocumentAccessResponse(receipt=messages.receipt(receipt))

    async def GetDocument(
        self, request: ingest_pb2.GetDocumentRequest, context: Context
    ) -> ingest_pb2.GetDocumentResponse:
        """See the proto."""
        caller = current_caller()
        view = await self._look.get(caller, messages.document_id(request.document_id))
        return ingest_pb2.GetDocumentResponse(
            document=messages.document(view.document_id, view.head, view.changes, caller),
            changes=[messages.change(record) for record in view.changes],
        )

    async def ListDocuments(
        self, request: ingest_pb2.ListDocumentsRequest, context: Context
    ) -> ingest_pb2.ListDocumentsResponse:
        """See the proto."""
        caller = current_caller()
        heads, after = await self._look.list(
            caller,
            after=request.page_token,
            prefix=request.document_id_prefix,
            page_size=request.page_size,
            include_deleted=request.include_deleted,
        )
        return ingest_pb2.ListDocumentsResponse(
            documents=[messages.document(head.key.document_id, head, (), caller) for head in heads],
            next_page_token=after,
        )

    async def GetChanges(
        self, request: ingest_pb2.GetChangesRequest, context: Context
    ) -> ingest_pb2.GetChangesResponse:
        """See the proto."""
        records = await self._look.changes(current_caller(), request.event_ids)
        return ingest_pb2.GetChangesResponse(changes=[messages.change(record) for record in records])

    async def GetIngestStatus(
        self, request: ingest_pb2.GetIngestStatusRequest, context: Context
    ) -> ingest_pb2.GetIngestStatusResponse:
        """See the proto."""
        caller = current_caller()
        status = await self._look.status(caller, request.list_limit)
        message = messages.status(status, request.list_limit)
        described = await self._open.describe(status.oldest_pending[: request.list_limit])
        message.open.extend(open_change(change) for change in described)
        message.halts.extend(halt(each) for each in await self._open.halted())
        message.open_dead_letters = await self._open.open_letters(caller)
        return message

    async def ListOpenChanges(
        self, request: ingest_pb2.ListOpenChangesRequest, context: Context
    ) -> ingest_pb2.ListOpenChangesResponse:
        """See the proto."""
        after = read_page_token(request.page_token)
        changes = await self._open.list(current_caller(), after, request.page_size)
        last = changes[-1].record if len(changes) == page_size(request.page_size) else None
        return ingest_pb2.ListOpenChangesResponse(
            changes=[open_change(change) for change in changes],
            next_page_token=page_token(last.accepted_at, last.event_id) if last else "",
        )

    async def CreateTenant(
        self, request: ingest_pb2.CreateTenantRequest, context: Context
    ) -> ingest_pb2.CreateTenantResponse:
        """See the proto."""
        tenant = await self._manage.create(
            current_caller(), messages.tenant_name(request.tenant_id), messages.declarations(request.fields)
        )
        return ingest_pb2.CreateTenantResponse(tenant=messages.tenant(tenant))

    async def DeleteTenant(
        self, request: ingest_pb2.DeleteTenantRequest, context: Context
    ) -> ingest_pb2.DeleteTenantResponse:
        """See the proto."""
        await self._manage.delete(current_caller(), messages.tenant_name(request.tenant_id))
        return ingest_pb2.DeleteTenantResponse()

    async def ListTenants(
        self, request: ingest_pb2.ListTenantsRequest, context: Context
    ) -> ingest_pb2.ListTenantsResponse:
        """See the proto."""
        tenants = await self._manage.list(current_caller())
        return ingest_pb2.ListTenantsResponse(tenants=[messages.tenant(tenant) for tenant in tenants])
