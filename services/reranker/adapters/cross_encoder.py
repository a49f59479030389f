"""Cross-encoder scores."""

from __future__ import annotations

from collections.abc import Sequence

from inference.domain import Priority
from inference.engine import CrossEncoderEngine
from reranker.domain import Method, Passage, RerankerInfo, Scores, recommend


class CrossEncoderScorer:
    """Implements ``PassageScorer``: one forward pass for each passage, nothing kept.

    Args:
        engine: The loaded cross-encoder.
        recommended: The setting ``recommended``.
    """

    def __init__(self, engine: CrossEncoderEngine, recommended: str) -> None:
        self._engine = engine
        self._info = RerankerInfo(
            engine.model_id,
            engine.revision,
            Method.CROSS_ENCODER,
            recommend(Method.CROSS_ENCODER, engine.model_id, recommended),
        )

    @property
    def info(self) -> RerankerInfo:
        """See ``PassageScorer``."""
        return self._info

    @property
    def works(self) -> bool:
        """See ``PassageScorer``."""
        return self._engine.works

    async def score(self, tenant_id: str, query: str, passages: Sequence[Passage]) -> Scores:
        """See ``PassageScorer``."""
        del tenant_id  # nothing is kept
        return Scores(tuple(await self._engine.score(query, [p.text for p in passages], Priority.INTERACTIVE)))
