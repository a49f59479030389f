"""gRPC edge of the retriever."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import current_caller
from headwater.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from retriever import messages
from retriever.citations import ResolveCitations
from retriever.service import SearchPassages
from retriever.stages import offload

Context = grpc.aio.ServicerContext[Any, Any]


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, searches: SearchPassages, citations: ResolveCitations) -> None:
        self._searches = searches
        self._citations = citations

    async def Search(self, request: retrieval_pb2.SearchRequest, context: Context) -> retrieval_pb2.SearchResponse:
        """See the proto."""
        result = await self._searches.search(current_caller(), messages.query_of(request.query))
        return await offload.run(
            lambda: retrieval_pb2.SearchResponse(result=messages.result_message(result)), len(result.hits)
        )

    async def SearchBatch(
        self, request: retrieval_pb2.SearchBatchRequest, context: Context
    ) -> retrieval_pb2.SearchBatchResponse:
        """See the proto."""
        queries = [messages.query_of(query) for query in request.queries]
        results = await self._searches.search_batch(current_caller(), queries)
        return await offload.run(
            lambda: retrieval_pb2.SearchBatchResponse(results=map(messages.result_message, results)),
            sum(len(result.hits) for result in results),
        )

    async def ResolveCitations(
        self, request: retrieval_pb2.ResolveCitationsRequest, context: Context
    ) -> retrieval_pb2.ResolveCitationsResponse:
        """See the proto."""
        keys = [messages.citation_key_of(key) for key in request.keys]
        resolved = await self._citations.resolve(current_caller(), keys)
        return retrieval_pb2.ResolveCitationsResponse(
            citations=[messages.citation_message(citation) for citation in resolved]
        )
