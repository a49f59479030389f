"""Use cases of the reranker."""

from __future__ import annotations

from collections.abc import Sequence

from reranker.domain import Passage, RerankerInfo, Scores, check
from reranker.ports import PassageScorer


class RankPassages:
    """Scores passages and says which model did.

    Args:
        scorer: The loaded model.
        max_passages: Most passages of one request.
    """

    def __init__(self, scorer: PassageScorer, *, max_passages: int) -> None:
        self._scorer = scorer
        self._max_passages = max_passages

    @property
    def info(self) -> RerankerInfo:
        """What is loaded."""
        return self._scorer.info

    @property
    def works(self) -> bool:
        """Whether the model can answer."""
        return self._scorer.works

    async def score(self, tenant_id: str, query: str, passages: Sequence[Passage]) -> Scores:
        """Scores passages; none give no scores. Has no effect besides filling the cache of token vectors.

        Raises:
            InvalidRequest: The query is empty, a chunk id is missing, or there are too many passages.
            Overloaded: Too much is waiting.
        """
        check(query, passages, max_passages=self._max_passages)
        if not passages:
            return Scores(())
        return await self._scorer.score(tenant_id, query, passages)
