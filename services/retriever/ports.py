"""What a search needs besides the corpus.

Nouns
    **Passage**: a chunk's id and text, as a reranker sees it.

Rules for every method here
    Each call has its own deadline inside the caller's and works in the name of the caller being served. A peer that
    can't be reached or fails raises DependencyUnavailable, one that is too busy Overloaded, one that is too slow
    DeadlineExceeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from corpus.domain import Generation


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as the reranker sees it. ``chunk_id`` is immutable: the same id always means the same text."""

    chunk_id: str
    text: str


class QueryEmbedder(Protocol):
    """Vectors of questions."""

    async def embed(self, tenant_id: str, texts: Sequence[str], generation: Generation) -> NDArray[np.float32]:
        """(n, d) float32, row by row L2-normalised or all zeros for a text without a token, in the order of the texts.

        Raises:
            FailedPrecondition: MODEL_MISMATCH, the loaded model isn't the generation's: its vectors can't be compared.
        """
        ...


class Reranker(Protocol):
    """How well passages answer a question."""

    async def score(self, text: str, passages: Sequence[Passage]) -> Sequence[float]:
        """One score per passage, in their order, greater is better; comparable within one answer only."""
        ...

    async def recommended(self) -> bool:
        """Whether the configured model was measured to help. Answers from memory where it can; False while unknown.
        Never raises.
        """
        ...
