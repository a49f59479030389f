"""Late interaction over a text encoder's token vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chassis.telemetry import metrics
from inference.domain import FloatArray, Priority, TextKind
from inference.engine import TokenVectorEngine
from inference.late_interaction import TokenVectorCache, TokenVectors, max_sim
from reranker.domain import Method, Passage, RerankerInfo, Scores, recommend

_CACHE = "token_vectors"


class LateInteractionScorer:
    """Implements ``PassageScorer``: MaxSim, with passages' token vectors kept as int8 between queries.

    Args:
        engine: The loaded encoder.
        cache: Where token vectors are kept.
        recommended: The setting ``recommended``.
    """

    def __init__(self, engine: TokenVectorEngine, cache: TokenVectorCache, recommended: str) -> None:
        self._engine = engine
        self._cache = cache
        model = engine.info
        self._info = RerankerInfo(
            model.model_id,
            model.revision,
            Method.LATE_INTERACTION,
            recommend(Method.LATE_INTERACTION, model.model_id, recommended),
        )

    @property
    def info(self) -> RerankerInfo:
        """See ``PassageScorer``."""
        return self._info

    @property
    def works(self) -> bool:
        """See ``PassageScorer``."""
        return self._engine.works

    async def score(self, tenant_id: str, query: str, passages: Sequence[Passage]) -> Scores:
        """See ``PassageScorer``."""
        # Tenants are kept apart although chunk ids are unique: an id that was made up must not find another's passage.
        keys = [f"{tenant_id}\0{passage.chunk_id}" for passage in passages]
        known = {key: found for key in keys if (found := self._cache.get(key)) is not None}
        missing = {key: passage.text for key, passage in zip(keys, passages, strict=True) if key not in known}
        (asked,) = await self._vectors([query], TextKind.QUERY)
        read = await self._vectors(list(missing.values()), TextKind.PASSAGE)
        hits = sum(key in known for key in keys)
        metrics.CACHE_REQUESTS.add(hits, cache=_CACHE, outcome="hit")
        metrics.CACHE_REQUESTS.add(len(keys) - hits, cache=_CACHE, outcome="miss")
        values = await asyncio.to_thread(self._compare, asked, keys, known, dict(zip(missing, read, strict=True)))
        return Scores(values, hits)

    async def _vectors(self, texts: Sequence[str], kind: TextKind) -> list[FloatArray]:
        return await self._engine.token_vectors(texts, kind, Priority.INTERACTIVE)

    def _compare(
        self, query: FloatArray, keys: Sequence[str], known: dict[str, TokenVectors], new: dict[str, FloatArray]
    ) -> tuple[float, ...]:
        for key, vectors in new.items():
            known[key] = TokenVectors.of(vectors)
            self._cache.put(key, known[key])
        similarities = max_sim(query, [known[key] for key in keys])
        # Cosines between -1 and 1 become scores between 0 and 1.
        return tuple(min(1.0, max(0.0, (1 + float(value)) / 2)) for value in similarities)
