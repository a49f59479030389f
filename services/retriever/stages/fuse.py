"""Fusion: the lists of the legs become one.

Each leg's scores are mapped to [0, 1] and added with weights that sum to 1, so a fused score lies in [0, 1] too.

- Convex: min-max per list, ``(s - min) / (max - min)``; a passage missing from a list counts as that list's minimum,
  which is 0. Bruch, Gai, Ingber: "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 2023.
  The graph leg's scores are shares of the best link there could be, and stay as they are: a weak link that is the only
  one is no better for that.
- RRF: ``(60 + 1) / (60 + rank)``, missing is 0; order and ratios are those of reciprocal rank fusion with k = 60
  (Cormack, Clarke, Büttcher, SIGIR 2009), scaled so that the first rank counts 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import neg

from corpus.domain import Candidate
from retriever.domain import FusionMethod, Leg, LegScore

RRF_K = 60

_RELATIVE_NOISE = 1e-6
"""Scores are sums in float32: a spread below this share of their size is rounding, and stretching it would rank by
noise.
"""

LegLists = Mapping[Leg, Sequence[Candidate]]
Weights = Callable[[str], Mapping[Leg, float]]
"""Weights of the legs for a chunk id."""


@dataclass(frozen=True, slots=True)
class Fused:
    """One list from several.

    Attributes:
        order: Chunk ids, best first, ties by chunk id.
        scores: Fused score by chunk id.
        candidates: By chunk id, from a leg that found it.
        normalised: Per leg, normalised score by chunk id.
    """

    order: list[str]
    scores: dict[str, float]
    candidates: dict[str, Candidate]
    normalised: dict[Leg, dict[str, float]]


def leg_weights(legs: LegLists, vector_weight: float, graph_weight: float = 0.0) -> dict[Leg, float]:
    """Weights of the legs that answered, summing to 1. A leg that answered with nothing still has its weight, except
    for the graph leg: most questions lead nowhere, and their scores are what they are without it."""
    raw = {leg: vector_weight if leg is Leg.VECTOR else 1.0 - vector_weight for leg in legs}
    if Leg.GRAPH in legs:
        raw[Leg.GRAPH] = graph_weight if legs[Leg.GRAPH] else 0.0
    total = sum(raw.values())
    if total <= 0.0:
        # The only leg that answered has weight 0: its order is still better than none.
        return dict.fromkeys(raw, 1.0 / len(raw)) if raw else {}
    return {leg: weight / total for leg, weight in raw.items()}


def fuse(legs: LegLists, method: FusionMethod, weights: Weights | Mapping[Leg, float]) -> Fused:
    """Fuses the legs' lists, each sorted best first. ``weights``: one set for all, or per chunk id."""
    normalised = {leg: _normalised(leg, found, method) for leg, found in legs.items()}
    candidates = {candidate[0]: candidate for found in legs.values() for candidate in found}
    scores: dict[str, float] = {}
    for leg, by_id in normalised.items():
        if callable(weights):
            for chunk_id, value in by_id.items():
                scores[chunk_id] = scores.get(chunk_id, 0.0) + weights(chunk_id)[leg] * value
        else:
            weight = weights[leg]
            for chunk_id, value in by_id.items():
                scores[chunk_id] = scores.get(chunk_id, 0.0) + weight * value
    return Fused(ranked(scores), scores, candidates, normalised)


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Ids by descending score, ties by id, so that equal input gives equal output everywhere."""
    return [chunk_id for _, chunk_id in sorted(zip(map(neg, scores.values()), scores, strict=True))]


def explain_legs(chunk_id: str, legs: LegLists, fused: Fused, weights: Mapping[Leg, float]) -> tuple[LegScore, ...]:
    """What each leg contributed to a passage's fused score."""
    parts = []
    for leg, found in legs.items():
        place = next((place for place, each in enumerate(found, 1) if each.chunk_id == chunk_id), 0)
        raw = found[place - 1].score if place else 0.0
        parts.append(LegScore(leg, place, raw, fused.normalised[leg].get(chunk_id, 0.0), weights[leg]))
    return tuple(parts)


def _normalised(leg: Leg, found: Sequence[Candidate], method: FusionMethod) -> dict[str, float]:
    if method is FusionMethod.RRF:
        return _reciprocal_ranks(found)
    if leg is Leg.GRAPH:
        return {candidate.chunk_id: candidate.score for candidate in found}
    return _min_max(found)


def _min_max(found: Sequence[Candidate]) -> dict[str, float]:
    if not found:
        return {}
    low, high = found[-1].score, found[0].score
    spread = high - low
    if spread <= _RELATIVE_NOISE * max(abs(low), abs(high)):
        # One passage, or all alike: each was found as well as the best one, and better than those that were not.
        return {candidate.chunk_id: 1.0 for candidate in found}
    return {chunk_id: (score - low) / spread for chunk_id, _, _, score in found}


def _reciprocal_ranks(found: Sequence[Candidate]) -> dict[str, float]:
    return {candidate.chunk_id: (RRF_K + 1) / (RRF_K + rank) for rank, candidate in enumerate(found, 1)}
