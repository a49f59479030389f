"""Routes for documents, changes and tenants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from chassis.errors import InvalidRequest
from gateway.http.answers import use_cases_of
from gateway.http.identity import CallerOf
from gateway.http.messages import draft, field
from gateway.http.models import (
    AccessBody,
    AccessChangeBody,
    ChangesBody,
    DocumentBody,
    DocumentsBody,
    DocumentStateBody,
    ReceiptBody,
    TenantBody,
    TenantRequestBody,
    TenantsBody,
)
from gateway.http.status_models import OpenChangesBody, StatusBody
from headwater.common.v1 import common_pb2
from headwater.gateway.v1 import gateway_pb2
from headwater.ingest.v1 import ingest_pb2

router = APIRouter(prefix="/v1")

_PART_BYTES = 512 * 1024
"""Half of what one message of an upload may hold."""
_RAW_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.put("/documents/{document_id:path}/access", status_code=202, summary="Change who may read a document")
async def set_access(document_id: str, body: AccessChangeBody, request: Request, caller: CallerOf) -> ReceiptBody:
    """As GatewayService.SetDocumentAccess."""
    access = common_pb2.Access(principals=body.principals, security_level=body.security_level)
    message = gateway_pb2.SetDocumentAccessRequest(document_id=document_id, version=body.version, access=access)
    response = await use_cases_of(request).documents.set_access(message, caller)
    return ReceiptBody.of(response.receipt)


@router.put(
    "/documents/{document_id:path}",
    status_code=202,
    summary="Store a document of any size",
    description="The body is the document itself; its description goes into the query.",
    openapi_extra=_RAW_BODY,
)
async def upload_document(
    document_id: str,
    request: Request,
    caller: CallerOf,
    version: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    filename: str = "",
    title: str = "",
    doc_type: str = "",
    uri: str = "",
    metadata: Annotated[str, Query(description="A JSON object.")] = "{}",
    principal: Annotated[list[str] | None, Query(description="Who may read; repeat it.")] = None,
    security_level: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    expires_at: datetime | None = None,
    bulk: Annotated[bool, Query(description="A backfill: it waits for whatever else there is to do.")] = False,
    content_type: Annotated[str, Header()] = "",
) -> ReceiptBody:
    """As GatewayService.UploadDocument; nothing but the part under way is held in memory."""
    description = DocumentBody(
        document_id=document_id,
        content="",
        version=version,
        filename=filename,
        media_type=content_type.partition(";")[0].strip(),
        title=title,
        doc_type=doc_type,
        uri=uri,
        metadata=_json_object(metadata),
        access=AccessBody(principals=principal or [], security_level=security_level),
        expires_at=expires_at,
        bulk=bulk,
    )
    parts = _parts(draft(description), request.stream())
    response = await use_cases_of(request).documents.upload(parts, caller)
    return ReceiptBody.of(response.receipt)


@router.post("/documents", status_code=202, summary="Store a text document")
async def put_document(body: DocumentBody, request: Request, caller: CallerOf) -> ReceiptBody:
    """As GatewayService.PutDocument."""
    message = gateway_pb2.PutDocumentRequest(draft=draft(body), content=body.content.encode())
    response = await use_cases_of(request).documents.put(message, caller)
    return ReceiptBody.of(response.receipt)


@router.delete("/documents/{document_id:path}", status_code=202, summary="Delete a document")
async def delete_document(
    document_id: str, request: Request, caller: CallerOf, version: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0
) -> ReceiptBody:
    """As GatewayService.DeleteDocument."""
    message = gateway_pb2.DeleteDocumentRequest(document_id=document_id, version=version)
    response = await use_cases_of(request).documents.delete(message, caller)
    return ReceiptBody.of(response.receipt)


@router.get("/documents/{document_id:path}", summary="Show a document and its newest changes")
async def get_document(document_id: str, request: Request, caller: CallerOf) -> DocumentStateBody:
    """As GatewayService.GetDocument."""
    message = gateway_pb2.GetDocumentRequest(document_id=document_id)
    return DocumentStateBody.of(await use_cases_of(request).documents.get(message, caller))


@router.get("/documents", summary="List documents")
async def list_documents(
    request: Request,
    caller: CallerOf,
    page_size: Annotated[int, Query(ge=0, le=1000)] = 0,
    page_token: str = "",
    prefix: str = "",
    include_deleted: bool = False,
) -> DocumentsBody:
    """As GatewayService.ListDocuments."""
    message = gateway_pb2.ListDocumentsRequest(
        page_size=page_size, page_token=page_token, document_id_prefix=prefix, include_deleted=include_deleted
    )
    return DocumentsBody.of(await use_cases_of(request).documents.list(message, caller))


@router.get("/changes", summary="What became of events")
async def get_changes(request: Request, caller: CallerOf, event_id: Annotated[list[str], Query()]) -> ChangesBody:
    """As GatewayService.GetChanges."""
    message = gateway_pb2.GetChangesRequest(event_ids=event_id)
    return ChangesBody.of(await use_cases_of(request).documents.changes(message, caller))


@router.get("/changes/open", summary="Changes in no terminal state, with their ages and what they wait for")
async def list_open_changes(
    request: Request, caller: CallerOf, page_size: Annotated[int, Query(ge=0, le=1000)] = 0, page_token: str = ""
) -> OpenChangesBody:
    """As GatewayService.ListOpenChanges."""
    message = gateway_pb2.ListOpenChangesRequest(page_size=page_size, page_token=page_token)
    return OpenChangesBody.of(await use_cases_of(request).documents.open_changes(message, caller))


@router.get("/status", summary="Lag, counts and open changes of ingestion")
async def get_status(
    request: Request, caller: CallerOf, list_limit: Annotated[int, Query(ge=0, le=1000)] = 0
) -> StatusBody:
    """As GatewayService.GetIngestStatus."""
    message = gateway_pb2.GetIngestStatusRequest(list_limit=list_limit)
    response = await use_cases_of(request).documents.status(message, caller)
    return StatusBody.of(response.status)


@router.get("/tenants", summary="List tenants")
async def list_tenants(request: Request, caller: CallerOf) -> TenantsBody:
    """As GatewayService.ListTenants."""
    return TenantsBody.of(await use_cases_of(request).documents.list_tenants(gateway_pb2.ListTenantsRequest(), caller))


@router.post("/tenants", summary="Create a tenant, or declare more fields")
async def create_tenant(body: TenantRequestBody, request: Request, caller: CallerOf) -> TenantBody:
    """As GatewayService.CreateTenant."""
    message = gateway_pb2.CreateTenantRequest(tenant_id=body.tenant_id, fields=[field(entry) for entry in body.fields])
    response = await use_cases_of(request).documents.create_tenant(message, caller)
    return TenantBody.of(response.tenant)


@router.delete("/tenants/{tenant_id}", status_code=204, summary="Remove a tenant with everything it holds")
async def delete_tenant(tenant_id: str, request: Request, caller: CallerOf) -> Response:
    """As GatewayService.DeleteTenant."""
    message = gateway_pb2.DeleteTenantRequest(tenant_id=tenant_id)
    await use_cases_of(request).documents.delete_tenant(message, caller)
    return Response(status_code=204)


async def _parts(
    description: ingest_pb2.DocumentDraft, body: AsyncIterator[bytes]
) -> AsyncIterator[gateway_pb2.UploadDocumentRequest]:
    yield gateway_pb2.UploadDocumentRequest(draft=description)
    async for piece in body:
        for start in range(0, len(piece), _PART_BYTES):
            yield gateway_pb2.UploadDocumentRequest(content=piece[start : start + _PART_BYTES])


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidRequest("metadata must be a JSON object.", reason="INVALID_METADATA")
    return value
