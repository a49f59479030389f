"""Sentence vectors through the embedder service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from chassis.errors import DependencyUnavailable
from chassis.identity import Caller
from chassis.rpc.client import call
from gateway.stages.cache.ports import QuestionVector
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc

Vectors = NDArray[np.float32]

_ENTRY_BYTES: Final = 512
"""Roughly what a remembered vector costs beside its numbers."""


@dataclass(frozen=True, slots=True)
class _Embedded:
    vectors: Vectors
    revision: str


class GrpcSentenceEmbedder:
    """The embedder behind a channel.

    Question and sentences go side by side, since models may put different prompts in front of the two; the embedder
    puts both into one batch. Vectors of sentences are remembered by tenant and text, for popular passages are read
    again and again; whether somebody may read a sentence was decided before it came here. The question is always
    embedded, and tells when the model has changed, which forgets everything.

    Args:
        timeout_seconds: Limit of the vectors of one question.
        cache_bytes: Memory for remembered vectors; 0 remembers none.
    """

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float, cache_bytes: int) -> None:
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._timeout_seconds = timeout_seconds
        self._revision = ""
        self._known: LRUCache[tuple[str, str], Vectors] = LRUCache(
            cache_bytes, getsizeof=lambda vector: int(vector.nbytes) + _ENTRY_BYTES
        )

    async def embed(self, question: str, sentences: Sequence[str], caller: Caller) -> tuple[Vectors, Vectors]:
        remembered = ((sentence, self._known.get((caller.tenant_id, sentence))) for sentence in sentences)
        known = {sentence: vector for sentence, vector in remembered if vector is not None}
        missing = [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]
        asked, read = await asyncio.gather(
            self._embed([question], embedding_pb2.TEXT_KIND_QUERY, caller), self._passages(missing, caller)
        )
        if known and asked.revision != self._revision:
            known, missing = {}, list(dict.fromkeys(sentences))
            read = await self._passages(missing, caller)
        found = known | dict(zip(missing, read.vectors, strict=True))
        self._remember(asked.revision, caller.tenant_id, found)
        return asked.vectors[0], np.stack([found[sentence] for sentence in sentences])

    async def embed_question(self, text: str, caller: Caller) -> QuestionVector:
        """See ``QuestionVectors``."""
        asked = await self._embed([text], embedding_pb2.TEXT_KIND_QUERY, caller)
        return QuestionVector(asked.vectors[0], asked.revision)

    async def embed_words(self, words: Sequence[str], caller: Caller) -> Vectors:
        return (await self._passages(words, caller)).vectors

    def _remember(self, revision: str, tenant_id: str, found: dict[str, Vectors]) -> None:
        if revision != self._revision:
            self._known.clear()
            self._revision = revision
        for sentence, vector in found.items():
            if vector.nbytes + _ENTRY_BYTES <= self._known.maxsize:
                # A copy: a row of the reply would keep the whole reply in memory.
                self._known[tenant_id, sentence] = vector.copy()

    async def _passages(self, texts: Sequence[str], caller: Caller) -> _Embedded:
        if not texts:
            return _Embedded(np.zeros((0, 0), np.float32), "")
        return await self._embed(texts, embedding_pb2.TEXT_KIND_PASSAGE, caller)

    async def _embed(self, texts: Sequence[str], kind: embedding_pb2.TextKind.ValueType, caller: Caller) -> _Embedded:
        request = embedding_pb2.EmbedRequest(texts=texts, kind=kind, priority=embedding_pb2.PRIORITY_INTERACTIVE)
        response = await call(self._stub.Embed, request, timeout_seconds=self._timeout_seconds, as_caller=caller)
        vectors = np.frombuffer(response.vectors, dtype="<f4")
        if vectors.size != len(texts) * response.dimensions:
            raise DependencyUnavailable(
                "The embedder answered with the wrong number of vectors.",
                reason="BAD_EMBEDDING_RESPONSE",
                retry_after_seconds=1.0,
            )
        return _Embedded(vectors.reshape(len(texts), response.dimensions), response.model_revision)
