"""What caches of answers need of others.

Nouns
    **Standing**: what a reader may see of some passages now, and on what that rests.

Rules
    As in ``gateway.ports``: nothing blocks, the caller is always named, errors are those of ``chassis.errors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chassis.identity import Caller
from gateway.domain import CitationKey


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller may read now.

    Attributes:
        readable: For each key, in order.
        access: Equal exactly for callers who may read the same: tenant (a later one of the same name has another),
            principals and clearance.
        generation: Name of the generation that is searched; "" for none.
    """

    readable: tuple[bool, ...]
    access: str
    generation: str


class Sources(Protocol):
    """Tells whether passages may still be read."""

    async def standing(self, keys: Sequence[CitationKey], caller: Caller) -> Standing:
        """As of now. Fails closed: raises when it can't be known. Raises NotFound UNKNOWN_TENANT,
        DependencyUnavailable, DeadlineExceeded."""
        ...


@dataclass(frozen=True, slots=True)
class QuestionVector:
    """A question as a vector: (d,) float32, L2-normalised, and the model that made it, with its revision."""

    values: NDArray[np.float32]
    model: str


class QuestionVectors(Protocol):
    """Vectors of questions."""

    async def embed_question(self, text: str, caller: Caller) -> QuestionVector:
        """The vector of one question. Raises DependencyUnavailable, Overloaded, DeadlineExceeded."""
        ...
