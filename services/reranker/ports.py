"""What the reranker needs from a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reranker.domain import Passage, RerankerInfo, Scores


class PassageScorer(Protocol):
    """A loaded model that scores passages. Nothing here blocks the event loop."""

    @property
    def info(self) -> RerankerInfo:
        """What is loaded; the same for the life of the scorer."""
        ...

    @property
    def works(self) -> bool:
        """Whether it can answer; False after something in it has died for good."""
        ...

    async def score(self, tenant_id: str, query: str, passages: Sequence[Passage]) -> Scores:
        """Scores in the order of the passages. What is kept under a chunk id is kept for the tenant alone. Raises
        Overloaded when too much waits."""
        ...
