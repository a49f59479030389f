"""Retrieval through the retriever service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from chassis.errors import InvalidRequest
from chassis.identity import Caller
from chassis.rpc.client import call
from gateway.adapters.messages import key_message, retrieved_of
from gateway.domain import CitationKey, Question, Retrieved
from gateway.stages.cache.ports import Standing
from gateway.stages.validate import MAX_K
from headwater.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc

_MAX_KEYS = 200
"""Citations per call, the retriever's limit."""


@dataclass(frozen=True, slots=True)
class RetrievalDefaults:
    """What a question is searched with where it does not say.

    Attributes:
        k: Passages.
        max_per_document: Passages of one document at most; 0 takes the retriever's setting.
        sections: Whether each passage brings its section.
        timeout_seconds: Limit of one search.
        explains: Whether each passage brings the parts of its score.
    """

    k: int
    max_per_document: int
    sections: bool
    timeout_seconds: float
    explains: bool = False


def described_query(retrieval: object) -> bytes:
    """Bytes of a question's ``retrieval`` that are equal for equal wishes, its text left out."""
    query = retrieval_pb2.SearchQuery()
    if isinstance(retrieval, retrieval_pb2.SearchQuery):
        query.CopyFrom(retrieval)
    query.text = ""
    return query.SerializeToString(deterministic=True)


def wishes_of(described: bytes) -> object:
    """The ``retrieval`` of a question that ``described_query`` described."""
    return retrieval_pb2.SearchQuery.FromString(described)


class GrpcRetrieval:
    """The retriever behind a channel."""

    def __init__(self, channel: grpc.aio.Channel, defaults: RetrievalDefaults) -> None:
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        self._defaults = defaults

    async def search(self, question: Question, caller: Caller) -> Retrieved:
        request = retrieval_pb2.SearchRequest(query=self._query(question))
        response = await call(
            self._stub.Search, request, timeout_seconds=self._defaults.timeout_seconds, as_caller=caller
        )
        return retrieved_of(response.result)

    async def search_batch(self, questions: Sequence[Question], caller: Caller) -> Sequence[Retrieved]:
        request = retrieval_pb2.SearchBatchRequest(queries=[self._query(question) for question in questions])
        response = await call(
            self._stub.SearchBatch, request, timeout_seconds=self._defaults.timeout_seconds, as_caller=caller
        )
        return [retrieved_of(result) for result in response.results]

    async def readable(self, keys: Sequence[CitationKey], caller: Caller) -> Sequence[bool]:
        return (await self.standing(keys, caller)).readable if keys else ()

    async def standing(self, keys: Sequence[CitationKey], caller: Caller) -> Standing:
        """See ``gateway.stages.cache.ports.Sources``."""
        readable: list[bool] = []
        rests_on: set[tuple[str, str]] = set()
        for first in range(0, len(keys), _MAX_KEYS):
            request = retrieval_pb2.ResolveCitationsRequest(
                keys=[key_message(key) for key in keys[first : first + _MAX_KEYS]]
            )
            response = await call(
                self._stub.ResolveCitations, request, timeout_seconds=self._defaults.timeout_seconds, as_caller=caller
            )
            readable.extend(citation.readable for citation in response.citations)
            rests_on.add((response.access_fingerprint, response.generation))
        # More than one: a change came in between, and what holds now is not known.
        access, generation = rests_on.pop() if len(rests_on) == 1 else ("", "")
        return Standing(tuple(readable), access, generation)

    def _query(self, question: Question) -> retrieval_pb2.SearchQuery:
        query = retrieval_pb2.SearchQuery()
        if isinstance(question.retrieval, retrieval_pb2.SearchQuery):
            query.CopyFrom(question.retrieval)
        query.text = question.text
        hints = question.hints
        query.k = query.k or hints.k or self._defaults.k
        query.freshness_weight = max(query.freshness_weight, hints.freshness_weight)
        if hints.filter is not None:
            filters = [ParseDict(hints.filter, Struct())]
            if query.filter.fields:
                filters.insert(0, query.filter)
            both = Struct()
            both.update({"$and": filters})
            query.filter.CopyFrom(both)
        if query.k > MAX_K:
            raise InvalidRequest(f"k must be 1 to {MAX_K}.", reason="INVALID_K", metadata={"maximum": str(MAX_K)})
        query.max_per_document = query.max_per_document or self._defaults.max_per_document
        query.explain = self._defaults.explains
        query.expansion = retrieval_pb2.EXPANSION_SECTION if self._defaults.sections else retrieval_pb2.EXPANSION_NONE
        return query
