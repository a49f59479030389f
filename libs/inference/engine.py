"""What a service holds: a loaded model behind one queue. No method blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from inference.batching import DEFAULT_LIMITS, PassRecord, QueueLimits, TokenBudgetBatcher
from inference.cross_encoder import CrossEncoder
from inference.domain import Embeddings, Encoding, FloatArray, ModelInfo, Priority, TextKind
from inference.encoder import TextEncoder, embeddings_of

Observer = Callable[[PassRecord], None]


def _ignore(record: PassRecord) -> None:
    del record


class EmbeddingEngine:
    """Vectors of texts, batched across callers.

    Args:
        encoder: A loaded encoder.
        max_queued_tokens: See `TokenBudgetBatcher`.
        observer: See `TokenBudgetBatcher`.
    """

    def __init__(
        self, encoder: TextEncoder, *, max_queued_tokens: QueueLimits = DEFAULT_LIMITS, observer: Observer = _ignore
    ) -> None:
        self._encoder = encoder
        self._batcher = TokenBudgetBatcher[Encoding, FloatArray](
            encoder.embed_pass,
            _tokens,
            workers=encoder.concurrency,
            pass_tokens=encoder.pass_tokens,
            max_queued_tokens=max_queued_tokens,
            observer=observer,
        )

    @property
    def info(self) -> ModelInfo:
        """What is loaded."""
        return self._encoder.info

    async def embed(self, texts: Sequence[str], kind: TextKind, priority: Priority) -> Embeddings:
        """Embeds texts in order. Raises Overloaded; when cancelled, passes that have not begun are never made."""
        encodings = await asyncio.to_thread(self._encoder.tokenize, texts, kind)
        vectors = await self._batcher.submit([e for e in encodings if not e.empty], priority)
        return embeddings_of(encodings, vectors, self.info.dimensions)

    @property
    def works(self) -> bool:
        """Whether passes are made; once False, it never becomes True again."""
        return self._batcher.works

    async def close(self) -> None:
        """Ends the workers; requests still waiting get DependencyUnavailable."""
        await asyncio.to_thread(self._batcher.close)


class TokenVectorEngine:
    """Token vectors of texts for late interaction, batched across callers. Arguments as of `EmbeddingEngine`."""

    def __init__(
        self, encoder: TextEncoder, *, max_queued_tokens: QueueLimits = DEFAULT_LIMITS, observer: Observer = _ignore
    ) -> None:
        self._encoder = encoder
        self._batcher = TokenBudgetBatcher[Encoding, FloatArray](
            encoder.token_pass,
            _tokens,
            workers=encoder.concurrency,
            pass_tokens=encoder.pass_tokens,
            max_queued_tokens=max_queued_tokens,
            observer=observer,
        )

    @property
    def info(self) -> ModelInfo:
        """What is loaded."""
        return self._encoder.info

    async def token_vectors(self, texts: Sequence[str], kind: TextKind, priority: Priority) -> list[FloatArray]:
        """(t_i, d) float32 L2-normalised rows for each text, in order; (0, d) for an empty one. Raises Overloaded."""
        encodings = await asyncio.to_thread(self._encoder.tokenize, texts, kind)
        vectors = iter(await self._batcher.submit([e for e in encodings if not e.empty], priority))
        nothing = np.zeros((0, self.info.dimensions), np.float32)
        return [nothing if encoding.empty else next(vectors) for encoding in encodings]

    @property
    def works(self) -> bool:
        """Whether passes are made; once False, it never becomes True again."""
        return self._batcher.works

    async def close(self) -> None:
        """Ends the workers; requests still waiting get DependencyUnavailable."""
        await asyncio.to_thread(self._batcher.close)


class CrossEncoderEngine:
    """Scores of (query, passage) pairs, batched across callers. Arguments as of `EmbeddingEngine`."""

    def __init__(
        self, encoder: CrossEncoder, *, max_queued_tokens: QueueLimits = DEFAULT_LIMITS, observer: Observer = _ignore
    ) -> None:
        self._encoder = encoder
        self._batcher = TokenBudgetBatcher[Encoding, float](
            encoder.score_pass,
            _tokens,
            workers=encoder.concurrency,
            pass_tokens=encoder.pass_tokens,
            max_queued_tokens=max_queued_tokens,
            observer=observer,
        )

    @property
    def model_id(self) -> str:
        """Name of the model."""
        return self._encoder.model_id

    @property
    def revision(self) -> str:
        """First 12 hexadecimal digits of the sha256 of its weights."""
        return self._encoder.revision

    async def score(self, query: str, passages: Sequence[str], priority: Priority) -> list[float]:
        """Scores between 0 and 1 in the order of the passages. Raises Overloaded."""
        encodings = await asyncio.to_thread(self._encoder.tokenize, query, passages)
        return await self._batcher.submit(encodings, priority)

    @property
    def works(self) -> bool:
        """Whether passes are made; once False, it never becomes True again."""
        return self._batcher.works

    async def close(self) -> None:
        """Ends the workers; requests still waiting get DependencyUnavailable."""
        await asyncio.to_thread(self._batcher.close)


def _tokens(encoding: Encoding) -> int:
    return encoding.tokens
