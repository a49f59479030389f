"""Feedback: the question's vector moves towards the passage that ranks first, and is searched for once more.

Rocchio's formula for relevance feedback with the best passage taken for relevant ("Relevance Feedback in Information
Retrieval", 1971): ``q + weight * p``, both of length 1. The list that it finds takes the place of the vector leg's in
fusion. A hit's similarity stays that of the question itself.

The passage is one that passed the head check a moment ago: a passage that the caller may not read moves nothing. The
second search has the prefilter of the first, and what it finds goes through the head check like everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chassis.errors import HeadwaterError
from chassis.telemetry import logger
from corpus.domain import Generation
from corpus.ports import Prefilter, VectorIndex
from retriever.domain import Leg
from retriever.stages.guard import Guard, caller_out_of_time
from retriever.stages.observation import Stopwatch
from retriever.stages.ranking import Ranking

_log = logger("retriever.feedback")

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Moved:
    ranking: Ranking
    chunk_id: str
    vector: Vector

    @property
    def prefilter(self) -> Prefilter:
        return self.ranking.understood.prefilter


class Feedback:
    """Moves questions towards what they found first.

    Args:
        vectors: The index.
        seconds: Deadline of each of the two calls.
    """

    def __init__(self, vectors: VectorIndex, seconds: float) -> None:
        self._vectors = vectors
        self._guard = Guard("feedback", seconds)

    async def move(self, generation: Generation, rankings: Sequence[Ranking], watch: Stopwatch) -> list[Ranking]:
        """Gives scored rankings the lists that their moved questions find, and returns those that got one.

        A ranking without feedback in its policy, without live candidates, or without both legs' lists stays as it is.
        So does one for which the index can't be asked, and that is noted there.
        """
        wanted = [each for each in rankings if _may_move(each)]
        if not wanted:
            return []
        with watch.stage("feedback"):
            try:
                moved = await self._moved(generation, wanted)
                await asyncio.gather(*(self._search(generation, *each) for each in _by_prefilter(moved).items()))
            except HeadwaterError as error:
                if caller_out_of_time():
                    raise
                _log.warning("searching without feedback", error=type(error).__name__, reason=error.reason)
                for ranking in wanted:
                    ranking.feedback_failed = not ranking.feedback
        return [each for each in wanted if each.feedback]

    async def _moved(self, generation: Generation, rankings: Sequence[Ranking]) -> list[_Moved]:
        tenant_id = rankings[0].understood.prefilter.tenant_id
        first = {each: each.live[0] for each in rankings}
        known = await self._guard.run(lambda: self._vectors.vectors_of(generation.name, tenant_id, set(first.values())))
        return [_move(each, chunk_id, known[chunk_id]) for each, chunk_id in first.items() if chunk_id in known]

    async def _search(self, generation: Generation, prefilter: Prefilter, group: Sequence[_Moved]) -> None:
        stacked = np.stack([each.vector for each in group])
        depth = max(each.ranking.depth for each in group)
        lists = await self._guard.run(lambda: self._vectors.search(generation.name, stacked, depth, prefilter))
        for each, found in zip(group, lists, strict=True):
            each.ranking.feed_back(each.chunk_id, found[: each.ranking.depth])


def _may_move(ranking: Ranking) -> bool:
    vector, lists = ranking.answer.vector, ranking.answer.lists
    answered = bool(lists.get(Leg.VECTOR)) and Leg.LEXICAL in lists
    return ranking.policy.feedback_weight > 0.0 and answered and bool(ranking.live) and vector is not None


def _move(ranking: Ranking, chunk_id: str, passage: Vector) -> _Moved:
    question = ranking.answer.vector
    vector = passage if question is None else question + np.float32(ranking.policy.feedback_weight) * passage
    return _Moved(ranking, chunk_id, (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32))


def _by_prefilter(moved: Sequence[_Moved]) -> Mapping[Prefilter, list[_Moved]]:
    groups: dict[Prefilter, list[_Moved]] = {}
    for each in moved:
        groups.setdefault(each.prefilter, []).append(each)
    return groups
