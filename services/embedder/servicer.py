"""gRPC edge of the embedder."""

from __future__ import annotations

from typing import Any, Final

import grpc
from opentelemetry import trace

from chassis.errors import InvalidRequest
from chassis.telemetry import names
from embedder.domain import EmbeddingRequest
from embedder.service import EmbedTexts
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from inference.domain import Embeddings, ModelInfo, Priority, TextKind

Context = grpc.aio.ServicerContext[Any, Any]

_KINDS: Final = {
    embedding_pb2.TEXT_KIND_QUERY: TextKind.QUERY,
    embedding_pb2.TEXT_KIND_PASSAGE: TextKind.PASSAGE,
}
_PRIORITIES: Final = {
    embedding_pb2.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    embedding_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    embedding_pb2.PRIORITY_BULK: Priority.BULK,
}


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, texts: EmbedTexts) -> None:
        self._texts = texts

    async def Embed(self, request: embedding_pb2.EmbedRequest, context: Context) -> embedding_pb2.EmbedResponse:
        """See the proto."""
        embeddings = await self._texts.embed(request_of(request))
        trace.get_current_span().set_attributes(
            {
                names.EMBEDDING_MODEL_NAME: self._texts.info.model_id,
                names.BATCH_SIZE: len(embeddings.tokens),
                names.TOKENS: sum(embeddings.tokens),
            }
        )
        return response_message(embeddings, self._texts.info)

    async def GetModelInfo(
        self, request: embedding_pb2.GetModelInfoRequest, context: Context
    ) -> embedding_pb2.GetModelInfoResponse:
        """See the proto."""
        info = self._texts.info
        return embedding_pb2.GetModelInfoResponse(
            model_id=info.model_id,
            model_revision=info.revision,
            dimensions=info.dimensions,
            max_tokens=info.max_tokens,
            max_texts_per_request=self._texts.max_texts,
            runtime=info.runtime,
            pooling=str(info.pooling),
        )


def request_of(message: embedding_pb2.EmbedRequest) -> EmbeddingRequest:
    """Reads a request. Raises InvalidRequest if it doesn't say what kind its texts are."""
    kind, priority = _KINDS.get(message.kind), _PRIORITIES.get(message.priority)
    if kind is None or priority is None:
        raise InvalidRequest("Say whether the texts are queries or passages.", reason="KIND_MISSING")
    return EmbeddingRequest(tuple(message.texts), kind, priority, message.expected_model_revision)


def response_message(embeddings: Embeddings, info: ModelInfo) -> embedding_pb2.EmbedResponse:
    """Writes a reply: vectors as little-endian float32, row by row."""
    rows = zip(embeddings.tokens, embeddings.truncated, embeddings.empty, strict=True)
    return embedding_pb2.EmbedResponse(
        vectors=embeddings.vectors.astype("<f4", copy=False).tobytes(),
        dimensions=info.dimensions,
        reports=[embedding_pb2.TextReport(tokens=t, truncated=cut, empty=empty) for t, cut, empty in rows],
        model_id=info.model_id,
        model_revision=info.revision,
    )
