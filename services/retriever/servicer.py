"""gRPC edge of the retriever."""

from __future__ import annotations

import time
from typing import Any

import grpc

from chassis.identity import Caller, Scope, current_caller
from headwater.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from retriever import messages
from retriever.citations import ResolveCitations
from retriever.service import SearchPassages
from retriever.shadow import ShadowSearches
from retriever.stages import offload

Context = grpc.aio.ServicerContext[Any, Any]


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(
        self, searches: SearchPassages, citations: ResolveCitations, shadows: ShadowSearches | None = None
    ) -> None:
        self._searches = searches
        self._citations = citations
        self._shadows = shadows

    async def Search(self, request: retrieval_pb2.SearchRequest, context: Context) -> retrieval_pb2.SearchResponse:
        """See the proto."""
        caller = current_caller()
        query, began = messages.query_of(request.query), time.perf_counter()
        result = await self._searches.search(caller, query)
        if self._shadows is not None:
            self._shadows.consider(caller, query, result, time.perf_counter() - began)
        show = _may_know_of_every_document(caller)
        return await offload.run(
            lambda: retrieval_pb2.SearchResponse(result=messages.result_message(result, show_dropped=show)),
            len(result.hits),
        )

    async def SearchBatch(
        self, request: retrieval_pb2.SearchBatchRequest, context: Context
    ) -> retrieval_pb2.SearchBatchResponse:
        """See the proto."""
        queries = [messages.query_of(query) for query in request.queries]
        caller = current_caller()
        results = await self._searches.search_batch(caller, queries)
        show = _may_know_of_every_document(caller)
        return await offload.run(
            lambda: retrieval_pb2.SearchBatchResponse(
                results=[messages.result_message(result, show_dropped=show) for result in results]
            ),
            sum(len(result.hits) for result in results),
        )

    async def ResolveCitations(
        self, request: retrieval_pb2.ResolveCitationsRequest, context: Context
    ) -> retrieval_pb2.ResolveCitationsResponse:
        """See the proto."""
        keys = [messages.citation_key_of(key) for key in request.keys]
        resolution = await self._citations.resolution(current_caller(), keys)
        return retrieval_pb2.ResolveCitationsResponse(
            citations=[messages.citation_message(citation) for citation in resolution.citations],
            access_fingerprint=resolution.access_fingerprint,
            generation=resolution.generation,
        )


def _may_know_of_every_document(caller: Caller) -> bool:
    # As in the ingest service, which lists all documents for those who write them.
    return Scope.WRITE in caller.scopes
