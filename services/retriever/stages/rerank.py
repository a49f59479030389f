"""Reranking: the best few are scored again by a model that reads question and passage together."""

from __future__ import annotations

from collections.abc import Sequence


def interpolate(adjusted: Sequence[float], reranked: Sequence[float], weight: float) -> tuple[list[float], list[float]]:
    """Mixes the reranker's scores into those of the window it saw.

    The reranker's scores are first stretched to the range of the adjusted ones (min-max), so that the window as a
    whole keeps its place above what was not reranked.

    Args:
        adjusted: Scores before, in the window's order.
        reranked: The reranker's, in the same order.
        weight: Share of the reranker, 0 to 1.

    Returns:
        The stretched scores, and ``(1 - weight) * adjusted + weight * stretched``.
    """
    if not adjusted:
        return [], []
    floor, top = min(adjusted), max(adjusted)
    low, high = min(reranked), max(reranked)
    spread = high - low
    if spread <= 0.0:
        # The model sees no difference: what was known before stands.
        return list(adjusted), list(adjusted)
    stretched = [floor + (top - floor) * (score - low) / spread for score in reranked]
    return stretched, [before + weight * (after - before) for before, after in zip(adjusted, stretched, strict=True)]
