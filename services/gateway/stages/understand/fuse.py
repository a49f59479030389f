"""Several searches for one question as one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain import Passage, Retrieved

_RANK_CONSTANT: Final = 60
"""Of reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009."""


def fuse(results: Sequence[Retrieved], weights: Sequence[float], k: int) -> Retrieved:
    """The best ``k`` passages by reciprocal rank fusion, each with the best score and similarity that it was found
    with. What one search did without, the whole did without."""
    ranks: dict[str, float] = {}
    found: dict[str, Passage] = {}
    for result, weight in zip(results, weights, strict=True):
        for rank, passage in enumerate(result.passages, start=1):
            ranks[passage.chunk_id] = ranks.get(passage.chunk_id, 0.0) + weight / (_RANK_CONSTANT + rank)
            known = found.get(passage.chunk_id, passage)
            found[passage.chunk_id] = replace(
                known,
                score=max(known.score, passage.score),
                similarity=max(known.similarity, passage.similarity),
            )
    best = sorted(ranks, key=lambda chunk_id: -ranks[chunk_id])[:k]
    first = results[0]
    return replace(
        first,
        passages=tuple(found[chunk_id] for chunk_id in best),
        degraded=tuple(dict.fromkeys(name for result in results for name in result.degraded)),
    )
