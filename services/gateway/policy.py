"""How questions are answered."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain import Retrieved
from gateway.stages.context import ContextLimits


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """How questions are answered.

    Attributes:
        context: Bounds of what a generator reads.
        min_similarity: Best cosine similarity under which retrieval counts as weak, unless the best score says
        otherwise.
        min_score: Best final score under which retrieval counts as weak.
        batch_concurrency: Questions of a batch that are generated side by side.
        mask_questions: Whether log and traces get questions without personal data.
    """

    context: ContextLimits
    min_similarity: float = 0.12
    min_score: float = 0.05
    batch_concurrency: int = 4
    mask_questions: bool = True

    def is_weak(self, retrieved: Retrieved) -> bool:
        """Whether nothing was found that is worth reading."""
        similarity = max((passage.similarity for passage in retrieved.passages), default=0.0)
        score = max((passage.score for passage in retrieved.passages), default=-1.0)
        # Without the vector leg there is no similarity, and a score alone is no sign of weakness.
        return score < self.min_score or 0.0 < similarity < self.min_similarity
