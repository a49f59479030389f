"""The embedder service behind the Embedder port."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import numpy as np
from numpy.typing import NDArray

from chassis.errors import FailedPrecondition
from chassis.rpc.client import call
from chassis.tokens import service_caller
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from ingest.ports import Embedder, ModelInfo

EMBED_TIMEOUT_SECONDS = 60.0
"""A full batch takes about two seconds; a busy laptop several times that. Longer than this means it is stuck."""
INFO_TIMEOUT_SECONDS = 5.0


class EmbedderClient:
    """Calls the embedder as the ingest service itself: bulk work belongs to no single caller."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: embedding_pb2_grpc.EmbeddingServiceAsyncStub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._caller = service_caller("ingest", "platform")

    async def model_info(self) -> ModelInfo:
        """See the port."""
        reply = await call(
            self._stub.GetModelInfo,
            embedding_pb2.GetModelInfoRequest(),
            timeout_seconds=INFO_TIMEOUT_SECONDS,
            as_caller=self._caller,
        )
        return ModelInfo(reply.model_id, reply.model_revision, reply.dimensions, reply.max_tokens)

    async def embed_passages(self, texts: Sequence[str], expected_revision: str) -> NDArray[np.float32]:
        """See the port."""
        reply = await call(
            self._stub.Embed,
            embedding_pb2.EmbedRequest(
                texts=texts,
                kind=embedding_pb2.TEXT_KIND_PASSAGE,
                priority=embedding_pb2.PRIORITY_BULK,
                expected_model_revision=expected_revision,
            ),
            timeout_seconds=EMBED_TIMEOUT_SECONDS,
            as_caller=self._caller,
        )
        return np.frombuffer(reply.vectors, dtype="<f4").reshape(-1, reply.dimensions)


class EmbedderWithModel:
    """Implements ``Embedder`` over two, of which the second one may have another model: texts go to the one that has
    the model that is expected. ``model_info`` is the first one's."""

    def __init__(self, first: Embedder, second: Embedder) -> None:
        self._first, self._second = first, second

    async def model_info(self) -> ModelInfo:
        """See the port."""
        return await self._first.model_info()

    async def embed_passages(self, texts: Sequence[str], expected_revision: str) -> NDArray[np.float32]:
        """See the port."""
        try:
            return await self._first.embed_passages(texts, expected_revision)
        except FailedPrecondition as error:
            if error.reason != "MODEL_MISMATCH":
                raise
            return await self._second.embed_passages(texts, expected_revision)
