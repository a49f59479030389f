"""Questions to vectors, by the embedder service."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chassis.cache.port import Cache
from chassis.errors import DependencyUnavailable, FailedPrecondition
from chassis.rpc.client import call
from corpus.domain import Generation
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from retriever.ports import QueryEmbedder


class GrpcQueryEmbedder:
    """Implements ``QueryEmbedder`` over gRPC, with a cache of recent questions.

    Cached vectors are found under tenant, model revision and hash of the text. The tenant is part of the key although
    equal texts have equal vectors: otherwise the speed of an answer would tell one tenant what another one asked.

    Args:
        stub: Of a channel from ``chassis.rpc.client.open_channel``.
        timeout_seconds: Limit of one call.
        cache: Where vectors are kept; None for nowhere.
        cache_seconds: How long.
    """

    def __init__(
        self,
        stub: embedding_pb2_grpc.EmbeddingServiceAsyncStub,
        timeout_seconds: float,
        cache: Cache | None,
        cache_seconds: float,
    ) -> None:
        self._stub = stub
        self._timeout_seconds = timeout_seconds
        self._cache = cache
        self._cache_seconds = cache_seconds

    async def embed(self, tenant_id: str, texts: Sequence[str], generation: Generation) -> NDArray[np.float32]:
        """See ``QueryEmbedder``. Texts are looked up first; the others go out in one call."""
        keys = {text: _key(tenant_id, text, generation) for text in texts}
        vectors = await self._cached(keys, generation.dimensions)
        missing = [text for text in keys if text not in vectors]
        if missing:
            rows = await self._call(missing, generation)
            vectors |= zip(missing, rows, strict=True)
            if self._cache is not None:
                fresh = {keys[text]: row.tobytes() for text, row in zip(missing, rows, strict=True)}
                await self._cache.put_many(fresh, self._cache_seconds)
        return np.stack([vectors[text] for text in texts])

    async def _cached(self, keys: Mapping[str, str], dimensions: int) -> dict[str, NDArray[np.float32]]:
        if self._cache is None:
            return {}
        values = await self._cache.get_many(list(keys.values()))
        found = {text: values.get(key) for text, key in keys.items()}
        return {
            text: np.frombuffer(value, dtype="<f4")
            for text, value in found.items()
            if value is not None and len(value) == 4 * dimensions
        }

    async def _call(self, texts: Sequence[str], generation: Generation) -> NDArray[np.float32]:
        response = await call(
            self._stub.Embed,
            embedding_pb2.EmbedRequest(
                texts=texts,
                kind=embedding_pb2.TEXT_KIND_QUERY,
                priority=embedding_pb2.PRIORITY_INTERACTIVE,
                expected_model_revision=generation.model_revision,
            ),
            timeout_seconds=self._timeout_seconds,
        )
        # The embedder refuses a revision it does not have; an answer from another one would still be worse than none.
        if response.model_revision != generation.model_revision or response.dimensions != generation.dimensions:
            raise FailedPrecondition(
                "The embedder runs another model than the index was made with: load that model, or re-index.",
                reason="MODEL_MISMATCH",
                metadata={"index": generation.model_revision, "embedder": response.model_revision},
            )
        if len(response.vectors) != 4 * generation.dimensions * len(texts):
            raise DependencyUnavailable(
                "The embedder answered with vectors of the wrong size.", reason="BAD_EMBEDDING", retry_after_seconds=1.0
            )
        return np.frombuffer(response.vectors, dtype="<f4").reshape(len(texts), generation.dimensions)


class EmbedderWithModel:
    """Implements ``QueryEmbedder`` over several: the one that has the generation's model. Which it is, is found out by
    asking, and remembered until it has another one."""

    def __init__(self, embedders: Sequence[QueryEmbedder]) -> None:
        self._embedders = list(embedders)
        self._last: dict[str, QueryEmbedder] = {}

    async def embed(self, tenant_id: str, texts: Sequence[str], generation: Generation) -> NDArray[np.float32]:
        """See ``QueryEmbedder``."""
        model = f"{generation.model_id}@{generation.model_revision}"
        mismatch: FailedPrecondition | None = None
        # A stable sort: the one that had the model last comes first.
        for embedder in sorted(self._embedders, key=lambda each: each is not self._last.get(model)):
            try:
                vectors = await embedder.embed(tenant_id, texts, generation)
            except FailedPrecondition as error:
                if error.reason != "MODEL_MISMATCH":
                    raise
                mismatch = error
            else:
                self._last[model] = embedder
                return vectors
        assert mismatch is not None
        raise mismatch


def _key(tenant_id: str, text: str, generation: Generation) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"query-vector/{tenant_id}/{generation.model_id}/{generation.model_revision}/{digest}"
