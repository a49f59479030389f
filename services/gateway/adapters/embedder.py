"""Sentence vectors through the embedder service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import numpy as np
from numpy.typing import NDArray

from chassis.errors import DependencyUnavailable
from chassis.identity import Caller
from chassis.rpc.client import call
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc


class GrpcSentenceEmbedder:
    """The embedder behind a channel.

    Question and sentences go side by side, since models may put different prompts in front of the two; the embedder
    puts both into
    one batch.
    """

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    async def embed(
        self, question: str, sentences: Sequence[str], caller: Caller
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        asked, read = await asyncio.gather(
            self._embed([question], embedding_pb2.TEXT_KIND_QUERY, caller),
            self._embed(sentences, embedding_pb2.TEXT_KIND_PASSAGE, caller),
        )
        return asked[0], read

    async def embed_words(self, words: Sequence[str], caller: Caller) -> NDArray[np.float32]:
        return await self._embed(words, embedding_pb2.TEXT_KIND_PASSAGE, caller)

    async def _embed(
        self, texts: Sequence[str], kind: embedding_pb2.TextKind.ValueType, caller: Caller
    ) -> NDArray[np.float32]:
        request = embedding_pb2.EmbedRequest(texts=texts, kind=kind, priority=embedding_pb2.PRIORITY_INTERACTIVE)
        response = await call(self._stub.Embed, request, timeout_seconds=self._timeout_seconds, as_caller=caller)
        vectors = np.frombuffer(response.vectors, dtype="<f4")
        if vectors.size != len(texts) * response.dimensions:
            raise DependencyUnavailable(
                "The embedder answered with the wrong number of vectors.",
                reason="BAD_EMBEDDING_RESPONSE",
                retry_after_seconds=1.0,
            )
        return vectors.reshape(len(texts), response.dimensions)
