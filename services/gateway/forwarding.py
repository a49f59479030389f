"""Calls that the gateway passes on: it limits and checks them, and copies messages as wholes, never field by field.

Both edges speak protobuf here, so that a search costs the gateway no more than its identity, its limits and one copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

from chassis.identity import Caller, Scope
from chassis.rpc.client import call
from gateway.rates import RateLimits, Spending
from gateway.stages.validate import check_batch_size, check_k, check_text
from headwater.gateway.v1 import gateway_pb2
from headwater.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from headwater.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits, in seconds, of calls whose callers set none."""

    search: float
    write: float
    upload: float


class ForwardedSearch:
    """Search, as the retriever does it."""

    def __init__(self, retriever: grpc.aio.Channel, rates: RateLimits, limits: CallLimits) -> None:
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(retriever)
        self._rates = rates
        self._seconds = limits.search

    async def search(self, request: gateway_pb2.SearchRequest, caller: Caller) -> gateway_pb2.SearchResponse:
        """Errors: as RetrievalService.Search; RATE_LIMITED."""
        caller.require(Scope.READ)
        _check(request.query)
        self._rates.spend(Spending.SEARCH, caller)
        forwarded = retrieval_pb2.SearchRequest(query=request.query)
        response = await call(self._stub.Search, forwarded, timeout_seconds=self._seconds, as_caller=caller)
        return gateway_pb2.SearchResponse(result=response.result)

    async def search_batch(
        self, request: gateway_pb2.SearchBatchRequest, caller: Caller
    ) -> gateway_pb2.SearchBatchResponse:
        """Errors: as RetrievalService.SearchBatch; RATE_LIMITED, each query counts."""
        caller.require(Scope.READ)
        check_batch_size(request.queries)
        for query in request.queries:
            _check(query)
        self._rates.spend(Spending.SEARCH, caller, len(request.queries))
        forwarded = retrieval_pb2.SearchBatchRequest(queries=request.queries)
        response = await call(self._stub.SearchBatch, forwarded, timeout_seconds=self._seconds, as_caller=caller)
        return gateway_pb2.SearchBatchResponse(results=response.results)


def _check(query: retrieval_pb2.SearchQuery) -> None:
    check_text(query.text)
    check_k(query.k)


class ForwardedDocuments:
    """Documents and tenants, as the ingest service keeps them. It enforces scopes and access by the caller it is
    told."""

    def __init__(self, ingest: grpc.aio.Channel, rates: RateLimits, limits: CallLimits) -> None:
        self._stub = ingest_pb2_grpc.IngestServiceStub(ingest)
        self._rates = rates
        self._limits = limits

    async def put(self, request: gateway_pb2.PutDocumentRequest, caller: Caller) -> gateway_pb2.PutDocumentResponse:
        """Errors: as IngestService.PutDocument."""
        self._spend(Spending.WRITE, Scope.WRITE, caller)
        forwarded = ingest_pb2.PutDocumentRequest(draft=request.draft, content=request.content)
        response = await self._call(self._stub.PutDocument, forwarded, caller)
        return gateway_pb2.PutDocumentResponse(receipt=response.receipt)

    async def upload(
        self, parts: AsyncIterator[gateway_pb2.UploadDocumentRequest], caller: Caller
    ) -> gateway_pb2.UploadDocumentResponse:
        """Passes the parts on as they come. Errors: as IngestService.UploadDocument, and what the parts raise."""
        self._spend(Spending.WRITE, Scope.WRITE, caller)
        relay = _Relay(parts)
        method: Any = self._stub.UploadDocument
        try:
            response = await call(method, relay.requests(), timeout_seconds=self._limits.upload, as_caller=caller)
        except asyncio.CancelledError:
            # A request stream that raises makes gRPC cancel the call: the document is then never stored half.
            if relay.error is None:
                raise
            raise relay.error from None
        return gateway_pb2.UploadDocumentResponse(receipt=response.receipt)

    async def delete(
        self, request: gateway_pb2.DeleteDocumentRequest, caller: Caller
    ) -> gateway_pb2.DeleteDocumentResponse:
        """Errors: as IngestService.DeleteDocument."""
        self._spend(Spending.WRITE, Scope.WRITE, caller)
        forwarded = ingest_pb2.DeleteDocumentRequest(document_id=request.document_id, version=request.version)
        response = await self._call(self._stub.DeleteDocument, forwarded, caller)
        return gateway_pb2.DeleteDocumentResponse(receipt=response.receipt)

    async def set_access(
        self, request: gateway_pb2.SetDocumentAccessRequest, caller: Caller
    ) -> gateway_pb2.SetDocumentAccessResponse:
        """Errors: as IngestService.SetDocumentAccess."""
        self._spend(Spending.WRITE, Scope.WRITE, caller)
        # An access that is not sent stays unset, so that the ingest service can tell it from "nobody".
        access = request.access if request.HasField("access") else None
        forwarded = ingest_pb2.SetDocumentAccessRequest(
            document_id=request.document_id, version=request.version, access=access
        )
        response = await self._call(self._stub.SetDocumentAccess, forwarded, caller)
        return gateway_pb2.SetDocumentAccessResponse(receipt=response.receipt)

    async def get(self, request: gateway_pb2.GetDocumentRequest, caller: Caller) -> gateway_pb2.GetDocumentResponse:
        """Errors: as IngestService.GetDocument."""
        self._spend(Spending.READ, Scope.READ, caller)
        forwarded = ingest_pb2.GetDocumentRequest(document_id=request.document_id)
        response = await self._call(self._stub.GetDocument, forwarded, caller)
        return gateway_pb2.GetDocumentResponse(document=response.document, changes=response.changes)

    async def list(
        self, request: gateway_pb2.ListDocumentsRequest, caller: Caller
    ) -> gateway_pb2.ListDocumentsResponse:
        """Errors: as IngestService.ListDocuments."""
        self._spend(Spending.READ, Scope.READ, caller)
        forwarded = ingest_pb2.ListDocumentsRequest(
            page_size=request.page_size,
            page_token=request.page_token,
            document_id_prefix=request.document_id_prefix,
            include_deleted=request.include_deleted,
        )
        response = await self._call(self._stub.ListDocuments, forwarded, caller)
        return gateway_pb2.ListDocumentsResponse(documents=response.documents, next_page_token=response.next_page_token)

    async def changes(self, request: gateway_pb2.GetChangesRequest, caller: Caller) -> gateway_pb2.GetChangesResponse:
        """Errors: as IngestService.GetChanges."""
        self._spend(Spending.READ, Scope.WRITE, caller)
        forwarded = ingest_pb2.GetChangesRequest(event_ids=request.event_ids)
        response = await self._call(self._stub.GetChanges, forwarded, caller)
        return gateway_pb2.GetChangesResponse(changes=response.changes)

    async def status(
        self, request: gateway_pb2.GetIngestStatusRequest, caller: Caller
    ) -> gateway_pb2.GetIngestStatusResponse:
        """Errors: as IngestService.GetIngestStatus."""
        self._spend(Spending.READ, Scope.WRITE, caller)
        forwarded = ingest_pb2.GetIngestStatusRequest(list_limit=request.list_limit)
        response = await self._call(self._stub.GetIngestStatus, forwarded, caller)
        return gateway_pb2.GetIngestStatusResponse(status=response)

    async def open_changes(
        self, request: gateway_pb2.ListOpenChangesRequest, caller: Caller
    ) -> gateway_pb2.ListOpenChangesResponse:
        """Errors: as IngestService.ListOpenChanges."""
        self._spend(Spending.READ, Scope.WRITE, caller)
        forwarded = ingest_pb2.ListOpenChangesRequest(page_size=request.page_size, page_token=request.page_token)
        response = await self._call(self._stub.ListOpenChanges, forwarded, caller)
        return gateway_pb2.ListOpenChangesResponse(changes=response.changes, next_page_token=response.next_page_token)

    async def create_tenant(
        self, request: gateway_pb2.CreateTenantRequest, caller: Caller
    ) -> gateway_pb2.CreateTenantResponse:
        """Errors: as IngestService.CreateTenant."""
        self._spend(Spending.WRITE, Scope.ADMIN, caller)
        forwarded = ingest_pb2.CreateTenantRequest(tenant_id=request.tenant_id, fields=request.fields)
        response = await self._call(self._stub.CreateTenant, forwarded, caller)
        return gateway_pb2.CreateTenantResponse(tenant=response.tenant)

    async def delete_tenant(
        self, request: gateway_pb2.DeleteTenantRequest, caller: Caller
    ) -> gateway_pb2.DeleteTenantResponse:
        """Errors: as IngestService.DeleteTenant."""
        self._spend(Spending.WRITE, Scope.ADMIN, caller)
        await self._call(self._stub.DeleteTenant, ingest_pb2.DeleteTenantRequest(tenant_id=request.tenant_id), caller)
        return gateway_pb2.DeleteTenantResponse()

    async def list_tenants(
        self, request: gateway_pb2.ListTenantsRequest, caller: Caller
    ) -> gateway_pb2.ListTenantsResponse:
        """Errors: as IngestService.ListTenants."""
        self._spend(Spending.READ, Scope.ADMIN, caller)
        response = await self._call(self._stub.ListTenants, ingest_pb2.ListTenantsRequest(), caller)
        return gateway_pb2.ListTenantsResponse(tenants=response.tenants)

    def _spend(self, spending: Spending, scope: Scope, caller: Caller) -> None:
        caller.require(scope)
        self._rates.spend(spending, caller)

    async def _call(self, method: Any, request: Any, caller: Caller) -> Any:
        return await call(method, request, timeout_seconds=self._limits.write, as_caller=caller)


class _Relay:
    """Parts of an upload as the ingest service takes them. ``error`` is what ended them early."""

    def __init__(self, parts: AsyncIterator[gateway_pb2.UploadDocumentRequest]) -> None:
        self._parts = parts
        self.error: Exception | None = None

    async def requests(self) -> AsyncIterator[ingest_pb2.UploadDocumentRequest]:
        try:
            async for part in self._parts:
                if part.WhichOneof("part") == "draft":
                    yield ingest_pb2.UploadDocumentRequest(draft=part.draft)
                else:
                    yield ingest_pb2.UploadDocumentRequest(content=part.content)
        except Exception as error:
            self.error = error
            raise
