"""Use cases of the embedder."""

from __future__ import annotations

from embedder.domain import EmbeddingRequest, check
from embedder.ports import Engine
from inference.domain import Embeddings, ModelInfo


class EmbedTexts:
    """Embeds texts and says which model did.

    Args:
        engine: The loaded model.
        max_texts: Most texts of one request.
    """

    def __init__(self, engine: Engine, *, max_texts: int) -> None:
        self._engine = engine
        self.max_texts = max_texts

    @property
    def info(self) -> ModelInfo:
        """The loaded model."""
        return self._engine.info

    @property
    def works(self) -> bool:
        """Whether the engine can answer."""
        return self._engine.works

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Embeds the texts of a request. Has no effect besides.

        Raises:
            InvalidRequest: No text, or too many.
            ModelMismatch: Another revision is loaded than the caller expects.
            Overloaded: Too much is waiting.
        """
        check(request, max_texts=self.max_texts, revision=self.info.revision)
        return await self._engine.embed(request.texts, request.kind, request.priority)
