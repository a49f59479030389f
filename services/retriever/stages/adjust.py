"""Adjustment of fused scores by age and by where the question's words stand. Both are off unless configured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from corpus.ports import StoredChunk

_SUMMARY_HEADINGS = frozenset({"abstract", "summary", "executive summary", "overview", "tl;dr"})


@dataclass(frozen=True, slots=True)
class AdjustPolicy:
    """How much age and structure count.

    Attributes:
        freshness_weight: Share of the score, 0 to 1, that halves with each half-life of age. 0 turns it off.
        half_life_days: By document type.
        default_half_life_days: For types not named.
        structure_weight: Share of the score, 0 to 1, that comes from title, headings and summary sections. 0 turns it
            off.
    """

    freshness_weight: float = 0.0
    half_life_days: Mapping[str, float] = field(default_factory=dict)
    default_half_life_days: float = 365.0
    structure_weight: float = 0.0

    @property
    def active(self) -> bool:
        """Whether anything is adjusted at all."""
        return self.freshness_weight > 0.0 or self.structure_weight > 0.0


@dataclass(frozen=True, slots=True)
class Adjustment:
    """``fused + freshness + structure``, which stays in [0, 1]."""

    freshness: float
    structure: float


NO_ADJUSTMENT = Adjustment(0.0, 0.0)

Analyse = Callable[[str], Sequence[str]]


def adjust(
    fused: float, stored: StoredChunk, policy: AdjustPolicy, *, terms: Collection[str], analyse: Analyse, now: datetime
) -> Adjustment:
    """What age and structure add to a fused score. ``terms``: the analysed question."""
    freshness = 0.0
    if policy.freshness_weight > 0.0:
        age_days = max(0.0, (now - stored.updated_at).total_seconds() / 86_400)
        half_life = policy.half_life_days.get(stored.doc_type, policy.default_half_life_days)
        freshness = -fused * policy.freshness_weight * (1.0 - 0.5 ** (age_days / half_life))
    structure = 0.0
    if policy.structure_weight > 0.0:
        structure = policy.structure_weight * (_structure_match(stored, terms, analyse) - (fused + freshness))
    return Adjustment(freshness, structure)


def _structure_match(stored: StoredChunk, terms: Collection[str], analyse: Analyse) -> float:
    """Share of the question's terms that stand in title or headings, 0 to 1; a summary section counts as half a
    match at least.
    """
    headings = stored.chunk.heading_path
    is_summary = bool(headings) and headings[-1].strip().casefold() in _SUMMARY_HEADINGS
    wanted = set(terms)
    named = set(analyse(" \n".join((stored.title, *headings))))
    return max(len(wanted & named) / len(wanted) if wanted else 0.0, 0.5 if is_summary else 0.0)
