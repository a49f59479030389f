"""How far the sentences of an answer are carried by what they cite, and which of its sources disagree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SupportVerdict(StrEnum):
    """``WEAK``: the source speaks of it, but does not say all of it in one place, or the sentence names no source."""

    SUPPORTED = "supported"
    WEAK = "weak"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """Support of the sentence ``text[start:end]`` of an answer, in code points; its marks belong to it.

    ``citations`` are the numbers it was checked against, ``score`` is 0 to 1, ``reason`` what lowered it most: empty,
    or "uncited", "unknown_citation", "quotation", "value", "name", "negation", "order", "words".
    """

    start: int
    end: int
    citations: tuple[int, ...]
    verdict: SupportVerdict
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class SourceConflict:
    """Two citations of an answer whose quotes give different values of the same thing.

    ``citation`` is the one that the answer rests on, ``other_citation`` the one that says otherwise; ``kind`` is
    "number", "quantity", "date", "time", "rate" or "version".
    """

    citation: int
    other_citation: int
    kind: str
