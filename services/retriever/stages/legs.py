"""The legs: vector and lexical search side by side, each on its own deadline, and each allowed to fail alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chassis.errors import FailedPrecondition, HeadwaterError
from chassis.telemetry import logger, names
from chassis.telemetry.metrics import RETRIEVAL_CANDIDATES, RETRIEVAL_LEG_FAILURES
from corpus.analysis import analyse_query
from corpus.domain import Candidate, Generation
from corpus.ports import LexicalIndex, Prefilter, VectorIndex
from retriever.domain import Leg
from retriever.ports import QueryEmbedder
from retriever.stages.guard import Guard, caller_out_of_time
from retriever.stages.observation import Stopwatch

_LONG_TEXT_CHARACTERS = 1_024
"""Analysis of this much takes about a millisecond: beyond it leaves the event loop."""

_log = logger("retriever.legs")

_Lists = Sequence[Sequence[Candidate]]
_Search = Callable[[Sequence[int]], Awaitable[_Lists]]
"""Candidates of the requests at these places."""
Shown = Callable[[Prefilter, Collection[tuple[str, int]]], Awaitable[Collection[tuple[str, int]]]]
"""Those of these (document id, chunks_version) that the head check allows to whom the prefilter is of."""
_FindByTerms = Callable[[str, Sequence[Sequence[str]], int, Prefilter], Awaitable[_Lists]]


@dataclass(frozen=True, slots=True)
class LegRequest:
    """What one query wants of the legs: at most ``depth`` candidates of each of ``legs``."""

    text: str
    prefilter: Prefilter
    depth: int
    legs: frozenset[Leg]


@dataclass(slots=True)
class LegAnswer:
    """What came back: a list per leg that answered, an error per leg that did not.

    ``vector`` is the query's, kept so that a second, deeper search needs no second embedding.
    """

    lists: dict[Leg, Sequence[Candidate]] = field(default_factory=dict)
    failures: dict[Leg, HeadwaterError] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class LegDeadlines:
    """Seconds per call."""

    embed: float = 1.0
    vector: float = 1.0
    lexical: float = 1.0
    graph: float = 1.0


class Legs:
    """Asks the legs for candidates. Failures are part of the answer; only a caller who ran out of time ends it."""

    def __init__(
        self,
        embedder: QueryEmbedder,
        vectors: VectorIndex,
        lexical: LexicalIndex,
        deadlines: LegDeadlines,
        shown: Shown,
    ) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self._lexical = lexical
        self._shown = shown
        self._embed_guard = Guard("embedder", deadlines.embed)
        self._vector_guard = Guard("vector-index", deadlines.vector)
        self._lexical_guard = Guard("lexical-index", deadlines.lexical)
        self._graph_guard = Guard("lexical-links", deadlines.graph)

    async def ask(
        self,
        generation: Generation,
        requests: Sequence[LegRequest],
        watch: Stopwatch,
        known: Sequence[NDArray[np.float32] | None] = (),
    ) -> list[LegAnswer]:
        """One answer per request, in their order. All texts are embedded by one call, requests with equal prefilters
        searched by one.

        Args:
            generation: Whose index is searched.
            requests: All of one tenant.
            watch: Gets the stages "embed", "vector", "lexical" and "graph".
            known: Vectors from an earlier answer, per request.
        """
        answers = [LegAnswer(vector=vector) for vector in known] or [LegAnswer() for _ in requests]
        searches = {
            Leg.VECTOR: self._vector_leg(generation, requests, answers, watch),
            Leg.LEXICAL: self._term_leg(Leg.LEXICAL, generation, requests, watch),
            Leg.GRAPH: self._term_leg(Leg.GRAPH, generation, requests, watch),
        }
        await asyncio.gather(*(self._run(leg, requests, answers, search) for leg, search in searches.items()))
        for answer in answers:
            _without_links_alone(answer)
        return answers

    async def _run(
        self,
        leg: Leg,
        requests: Sequence[LegRequest],
        answers: Sequence[LegAnswer],
        search: _Search,
    ) -> None:
        places = [place for place, request in enumerate(requests) if leg in request.legs]
        if not places:
            return
        try:
            lists = await search(places)
        except HeadwaterError as error:
            if caller_out_of_time():
                raise
            for place in places:
                answers[place].failures[leg] = error
            _note_failure(leg, error)
            return
        for place, found in zip(places, lists, strict=True):
            answers[place].lists[leg] = found
            RETRIEVAL_CANDIDATES.record(len(found), leg=leg)

    def _vector_leg(
        self,
        generation: Generation,
        requests: Sequence[LegRequest],
        answers: Sequence[LegAnswer],
        watch: Stopwatch,
    ) -> _Search:
        async def search(places: Sequence[int]) -> _Lists:
            await self._embed(generation, requests, answers, places, watch)
            # A text without a token has no direction: nothing is similar to it.
            embedded = {
                place: vector for place in places if (vector := answers[place].vector) is not None and vector.any()
            }

            async def search_group(prefilter: Prefilter, group: Sequence[int], depth: int) -> _Lists:
                stacked = np.stack([embedded[place] for place in group])
                return await self._vector_guard.run(
                    lambda: self._vectors.search(generation.name, stacked, depth, prefilter)
                )

            with watch.stage("vector") as span:
                span.set_attribute(names.GENERATION, generation.name)
                return await _by_prefilter(requests, places, embedded, search_group)

        return search

    async def _embed(
        self,
        generation: Generation,
        requests: Sequence[LegRequest],
        answers: Sequence[LegAnswer],
        places: Sequence[int],
        watch: Stopwatch,
    ) -> None:
        missing = [place for place in places if answers[place].vector is None]
        if not missing:
            return
        texts = list(dict.fromkeys(requests[place].text for place in missing))
        tenant_id = requests[missing[0]].prefilter.tenant_id
        with watch.stage("embed") as span:
            span.set_attribute(names.BATCH_SIZE, len(texts))
            rows = await self._embed_guard.run(lambda: self._embedder.embed(tenant_id, texts, generation))
        vectors = dict(zip(texts, rows, strict=True))
        for place in missing:
            answers[place].vector = vectors[requests[place].text]

    def _term_leg(
        self,
        leg: Leg,
        generation: Generation,
        requests: Sequence[LegRequest],
        watch: Stopwatch,
    ) -> _Search:
        find: _FindByTerms
        if leg is Leg.GRAPH:
            guard, find = self._graph_guard, self._linked
        else:
            guard, find = self._lexical_guard, self._lexical.search

        async def search(places: Sequence[int]) -> _Lists:
            with watch.stage(leg.value) as span:
                span.set_attribute(names.GENERATION, generation.name)
                terms = await _analyse([requests[place].text for place in places])
                queries = {place: each for place, each in zip(places, terms, strict=True) if each}

                async def search_group(prefilter: Prefilter, group: Sequence[int], depth: int) -> _Lists:
                    asked = [queries[place] for place in group]
                    return await guard.run(lambda: find(generation.name, asked, depth, prefilter))

                return await _by_prefilter(requests, places, queries, search_group)

        return search

    async def _linked(self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter) -> _Lists:
        async def shown(rows: Collection[tuple[str, int]]) -> Collection[tuple[str, int]]:
            return await self._shown(prefilter, rows)

        return await self._lexical.linked(generation, queries, k, prefilter, shown)


def _without_links_alone(answer: LegAnswer) -> None:
    """What some passages lead to is no answer where the legs that should have found those passages failed."""
    if answer.failures and answer.lists.keys() == {Leg.GRAPH}:
        answer.lists.clear()


async def _by_prefilter(
    requests: Sequence[LegRequest],
    places: Sequence[int],
    searchable: Iterable[int],
    search_group: Callable[[Prefilter, Sequence[int], int], Awaitable[_Lists]],
) -> _Lists:
    """One call per distinct prefilter, for the deepest of its requests; the shallower ones get their part of it."""
    groups: dict[Prefilter, list[int]] = {}
    for place in searchable:
        groups.setdefault(requests[place].prefilter, []).append(place)
    found: dict[int, Sequence[Candidate]] = dict.fromkeys(places, ())
    answers = await asyncio.gather(
        *(
            search_group(prefilter, group, max(requests[place].depth for place in group))
            for prefilter, group in groups.items()
        )
    )
    for group, lists in zip(groups.values(), answers, strict=True):
        for place, candidates in zip(group, lists, strict=True):
            found[place] = candidates[: requests[place].depth]
    return [found[place] for place in places]


async def _analyse(texts: Sequence[str]) -> list[tuple[str, ...]]:
    if sum(map(len, texts)) < _LONG_TEXT_CHARACTERS:
        return [analyse_query(text) for text in texts]
    return await asyncio.to_thread(lambda: [analyse_query(text) for text in texts])


def _note_failure(leg: Leg, error: HeadwaterError) -> None:
    RETRIEVAL_LEG_FAILURES.add(leg=leg, reason=error.reason)
    # A model mismatch does not pass by itself: somebody has to re-index or change the model.
    report = _log.error if isinstance(error, FailedPrecondition) else _log.warning
    report("a leg failed", leg=leg.value, error=type(error).__name__, reason=error.reason)
