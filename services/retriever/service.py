"""The use cases: search, search in batches, resolve citations.

A search goes through these steps; all queries of a batch take each step together:

1. understand   validate, resolve the tenant's fields, derive what the caller may read
2. legs         embed ∥ analyse, then vector ∥ lexical, prefiltered
3. fuse         one list per query
4. gather       payloads, then heads, of as many candidates as are needed; what a head forbids is dropped
5. rank         adjust by age and structure, rerank
6. select       threshold, near-duplicates, cap per document, k; again from further down, and once from deeper legs,
                when drops left fewer than k
7. expand       sections
8. confirm      heads again, unless step 4 read them last and a moment ago: nothing is served on an older word

Steps 2 to 8 are taken once more for queries that an edit overtook: what was dropped gave way to a newer version that
the reader may be shown, and the legs answered just before its rows were there, or step 4 just before its head was.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chassis.clock import Clock
from chassis.errors import DependencyUnavailable, HeadwaterError
from chassis.identity import Caller, Scope
from chassis.rpc.deadlines import remaining_seconds
from chassis.telemetry import logger, names, tracer
from chassis.telemetry.metrics import RETRIEVAL_HEAD_REJECTED, RETRIEVAL_OVERTAKEN
from corpus.domain import Generation, Section
from retriever.catalogue import Catalogue
from retriever.domain import SEARCHING_LEGS, Leg, Query, RerankMode, SearchResult
from retriever.ports import Passage, Reranker
from retriever.reads import CorpusReads
from retriever.results import describe, every_leg_failed, result_of
from retriever.stages import offload
from retriever.stages.expand import expand
from retriever.stages.guard import OUT_OF_TIME_SECONDS, Guard, caller_out_of_time
from retriever.stages.head_check import Reader, Rejection
from retriever.stages.legs import LegAnswer, LegRequest, Legs
from retriever.stages.observation import Stopwatch
from retriever.stages.overtaken import Overtaken
from retriever.stages.ranking import Ranking, RankingPolicy
from retriever.stages.understand import Understood, asked_generation, check, check_batch, reader_of, understand

_DEEPER = 4
"""Factor of the second, deeper search: a corpus where more than three candidates of four are stale needs its
sweeper, not us.
"""

_FUSED_COST = 6
"""What fusing one query's lists costs, in passages of ``offload``."""

_log = logger("retriever.service")
_tracer = tracer("retriever")


@dataclass(frozen=True, slots=True)
class SearchPolicy:
    """How searches are done.

    Attributes:
        ranking: How candidates become hits.
        legs: What is asked where a query does not say.
        leg_candidates: Candidates per leg at least.
        deepest_candidates: Candidates per leg at most, in the second search.
        rerank_seconds: Deadline of a rerank call.
        heads_valid_seconds: A head check older than this is repeated before the reply.
        spare_candidates: Candidates gathered beyond k, so that a few drops need no second round.
    """

    ranking: RankingPolicy
    legs: frozenset[Leg] = SEARCHING_LEGS
    leg_candidates: int = 200
    deepest_candidates: int = 1_000
    rerank_seconds: float = 1.5
    heads_valid_seconds: float = 0.02
    spare_candidates: int = 4


@dataclass(slots=True)
class _Batch:
    """What the queries of one call share."""

    generation: Generation
    reader: Reader
    rankings: list[Ranking]
    watch: Stopwatch
    began_at: float
    heads_read_at: float = math.inf
    must_confirm: bool = True
    sections: Mapping[str, Section] = field(default_factory=dict)

    @property
    def tenant_id(self) -> str:
        return self.reader.tenant_id


class SearchPassages:
    """Finds passages that the caller may read."""

    def __init__(
        self,
        catalogue: Catalogue,
        legs: Legs,
        reads: CorpusReads,
        reranker: Reranker | None,
        policy: SearchPolicy,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._legs = legs
        self._reads = reads
        self._reranker = reranker
        self._policy = policy
        self._clock = clock
        self._rerank_guard = Guard("reranker", policy.rerank_seconds)
        self._overtaken = Overtaken()

    async def search(self, caller: Caller, query: Query) -> SearchResult:
        """One query. Errors: as the RPC ``Search``."""
        return (await self.search_batch(caller, (query,)))[0]

    async def search_batch(self, caller: Caller, queries: Sequence[Query]) -> Sequence[SearchResult]:
        """Results in the order of the queries, each what ``search`` gives for it alone. Any error is that of the
        whole batch.
        """
        return await self._search(caller, queries, None)

    async def search_in(self, generation: Generation, caller: Caller, query: Query) -> SearchResult:
        """One query on a generation that its caller does not see the answer of. Errors: as the RPC ``Search``."""
        return (await self._search(caller, (query,), generation))[0]

    async def _search(
        self, caller: Caller, queries: Sequence[Query], chosen: Generation | None
    ) -> Sequence[SearchResult]:
        with _tracer.start_as_current_span("retrieval.search") as span:
            span.set_attribute(names.OPENINFERENCE_SPAN_KIND, "RETRIEVER")
            span.set_attribute(names.TENANT_ID, caller.tenant_id)
            span.set_attribute(names.BATCH_SIZE, len(queries))
            understood, reader = await self._understand(caller, queries)
            generation = chosen or await self._catalogue.generation(asked_generation(caller, queries))
            if generation is None:
                return [SearchResult(hits=()) for _ in queries]
            span.set_attribute(names.GENERATION, generation.name)
            ranking = self._policy.ranking
            rankings = [Ranking(each, ranking.for_query(each.query), self._depth(each.query)) for each in understood]
            batch = _Batch(generation, reader, rankings, Stopwatch(), self._clock.monotonic())
            await self._find(batch)
            await self._choose(batch, rankings)
            await self._go_deeper(batch)
            await self._expand(batch)
            await self._confirm_unless_fresh(batch)
            await self._repeat_overtaken(batch)
            timings = batch.watch.timings()
            results = [result_of(each, generation.name, batch.sections, timings) for each in rankings]
            describe(span, results)
            return results

    async def _understand(self, caller: Caller, queries: Sequence[Query]) -> tuple[list[Understood], Reader]:
        caller.require(Scope.READ)
        check_batch(len(queries))
        for query in queries:
            check(query)
        tenant = await self._catalogue.tenant(caller.tenant_id)
        reader = reader_of(caller, tenant)
        try:
            return [understand(query, tenant, reader, self._policy.legs) for query in queries], reader
        except HeadwaterError as error:
            if error.reason != "UNDECLARED_FIELD":
                raise
        # The field may have been declared since the tenant was read.
        tenant = await self._catalogue.tenant(caller.tenant_id, fresh=True)
        reader = reader_of(caller, tenant)
        return [understand(query, tenant, reader, self._policy.legs) for query in queries], reader

    def _depth(self, query: Query) -> int:
        return max(self._policy.leg_candidates, query.k)

    async def _find(self, batch: _Batch) -> None:
        answers = await self._ask(batch, batch.rankings)
        with batch.watch.stage("fuse") as span:
            for answer in answers:
                if not answer.lists:
                    raise every_leg_failed(answer.failures)
            pairs = list(zip(batch.rankings, answers, strict=True))
            # A single query's lists take a third of a millisecond: ten of them are worth a thread.
            await offload.run(lambda: _fuse_all(pairs), _FUSED_COST * len(pairs))
            span.set_attribute(names.CANDIDATES, sum(len(each.fused.order) for each in batch.rankings))

    async def _ask(self, batch: _Batch, rankings: Sequence[Ranking]) -> Sequence[LegAnswer]:
        requests = [
            LegRequest(each.understood.query.text, each.understood.prefilter, each.depth, each.understood.legs)
            for each in rankings
        ]
        known = [each.answer.vector for each in rankings]
        for ranking in rankings:
            ranking.asked_at = self._clock.monotonic()
        return await self._legs.ask(batch.generation, requests, batch.watch, known)

    async def _go_deeper(self, batch: _Batch) -> None:
        """Once more from longer lists, for queries that drops left with too few hits."""
        short = [
            each for each in batch.rankings if each.should_go_deeper and each.depth < self._policy.deepest_candidates
        ]
        if not short:
            return
        for ranking in short:
            ranking.depth = min(ranking.depth * _DEEPER, self._policy.deepest_candidates)
        await self._choose(batch, await self._asked_again(batch, short))

    async def _asked_again(self, batch: _Batch, rankings: Sequence[Ranking]) -> Sequence[Ranking]:
        """Those that have new lists. A leg that answered before and fails now would make the result worse: there the
        first answer stands."""
        improved = []
        for ranking, answer in zip(rankings, await self._ask(batch, rankings), strict=True):
            if answer.lists.keys() == ranking.answer.lists.keys():
                ranking.fuse(answer)
                improved.append(ranking)
        return improved

    async def _repeat_overtaken(self, batch: _Batch) -> None:
        """Once more, for queries that an edit overtook, if there is as much time left as was needed so far."""
        now = self._clock.monotonic()
        early = [
            each
            for each in batch.rankings
            if (missed := each.missed) and self._overtaken.asked_too_early(batch.tenant_id, missed, each.asked_at, now)
        ]
        if not early:
            return
        left = remaining_seconds()
        if left is not None and left <= now - batch.began_at + OUT_OF_TIME_SECONDS:
            RETRIEVAL_OVERTAKEN.add(len(early), outcome="out_of_time")
            return
        await self._choose(batch, await self._asked_again(batch, early))
        for ranking in early:
            RETRIEVAL_OVERTAKEN.add(outcome="missed" if ranking.missed else "found")
        await self._expand(batch)
        await self._confirm_unless_fresh(batch)

    async def _choose(self, batch: _Batch, rankings: Sequence[Ranking]) -> None:
        reranked = await self._to_rerank(rankings)
        spare = self._policy.spare_candidates
        depth = self._policy.ranking.rerank_depth
        wanted = {each: each.understood.query.k + spare for each in rankings}
        await self._gather(batch, {each: max(k, depth) if each in reranked else k for each, k in wanted.items()})
        await self._rank(batch, rankings, reranked)
        more = [each for each in rankings if each.may_find_more]
        if more:
            await self._gather(batch, {each: len(each.fused.order) for each in more})
            await self._rank(batch, more, reranked)

    async def _gather(self, batch: _Batch, wanted: Mapping[Ranking, int]) -> None:
        """Reads on in the fused lists until each has as many live candidates as wanted, or no more."""
        reach = 1
        while missing := {
            each: count - len(each.live)
            for each, count in wanted.items()
            if len(each.live) < count and not each.exhausted
        }:
            await self._read(batch, {each: each.next_window(count * reach) for each, count in missing.items()})
            # Where many were dropped, more of the next ones will be: few long rounds instead of many short ones.
            reach *= 4

    async def _read(self, batch: _Batch, windows: Mapping[Ranking, Sequence[str]]) -> None:
        unread = {each for ranking, window in windows.items() for each in window if each not in ranking.payloads}
        documents = {ranking.document_of(each) for ranking, window in windows.items() for each in window}
        with batch.watch.stage("chunks") as span:
            span.set_attribute(names.CHUNKS, len(unread))
            payloads = await self._reads.chunks(batch.tenant_id, unread)
        with batch.watch.stage("heads"):
            first = math.isinf(batch.heads_read_at)
            if first:
                batch.heads_read_at = self._clock.monotonic()
            heads = await self._reads.heads(batch.tenant_id, documents)
            batch.must_confirm = not first
            now = self._clock.now()
            rejected: Counter[Rejection] = Counter()
            for ranking, window in windows.items():
                ranking.payloads.update((each, payloads[each]) for each in window if each in payloads)
                rejected += ranking.check_window(window, heads, batch.reader, now)
            _count(rejected)

    async def _to_rerank(self, rankings: Sequence[Ranking]) -> set[Ranking]:
        modes = {each: each.understood.query.rerank for each in rankings}
        recommended = (
            RerankMode.AUTO in modes.values() and self._reranker is not None and await self._reranker.recommended()
        )
        return {
            each for each, mode in modes.items() if mode is RerankMode.ON or (mode is RerankMode.AUTO and recommended)
        }

    async def _rank(self, batch: _Batch, rankings: Sequence[Ranking], reranked: Collection[Ranking]) -> None:
        now = self._clock.now()
        with batch.watch.stage("adjust"):
            for ranking in rankings:
                ranking.score(now)
        windows = {each: each.rerank_window() for each in rankings if each in reranked and not each.rerank_failed}
        if any(windows.values()):
            with batch.watch.stage("rerank") as span:
                span.set_attribute(names.RERANKER_TOP_K, self._policy.ranking.rerank_depth)
                await asyncio.gather(*(self._rerank(each, window) for each, window in windows.items() if window))
            batch.must_confirm = True
        with batch.watch.stage("select"):
            await offload.run(lambda: _select_all(rankings), sum(len(each.live) for each in rankings))

    async def _rerank(self, ranking: Ranking, window: Sequence[str]) -> None:
        reranker = self._reranker
        try:
            if reranker is None:
                raise DependencyUnavailable("No reranker is configured.", reason="NO_RERANKER")
            if not all(chunk_id in ranking.rerank_scores for chunk_id in window):
                passages = [Passage(chunk_id, ranking.payloads[chunk_id].chunk.text) for chunk_id in window]
                text = ranking.understood.query.text
                scores = await self._rerank_guard.run(lambda: reranker.score(text, passages))
                ranking.rerank_scores.update(zip(window, scores, strict=True))
        except HeadwaterError as error:
            if caller_out_of_time():
                raise
            _log.warning("searching without the reranker", error=type(error).__name__, reason=error.reason)
            ranking.rerank_failed = True
            return
        ranking.mix_reranked(window)

    async def _expand(self, batch: _Batch) -> None:
        expanded = [each for each in batch.rankings if each.understood.query.expand_sections]
        chunks = [each.payloads[chunk_id] for each in expanded for chunk_id in each.chosen.chosen]
        if chunks:
            with batch.watch.stage("expand"):
                batch.sections = await expand(self._reads, batch.tenant_id, chunks)
            batch.must_confirm = True

    async def _confirm_unless_fresh(self, batch: _Batch) -> None:
        if batch.must_confirm or self._clock.monotonic() - batch.heads_read_at > self._policy.heads_valid_seconds:
            await self._confirm(batch)

    async def _confirm(self, batch: _Batch) -> None:
        documents = {ranking.document_of(each) for ranking in batch.rankings for each in ranking.chosen.chosen}
        with batch.watch.stage("heads"):
            heads = await self._reads.heads(batch.tenant_id, documents)
            now = self._clock.now()
            rejected: Counter[Rejection] = Counter()
            for ranking in batch.rankings:
                rejected += ranking.confirm(heads, batch.reader, now)
            _count(rejected)


def _fuse_all(pairs: Iterable[tuple[Ranking, LegAnswer]]) -> None:
    for ranking, answer in pairs:
        ranking.fuse(answer)


def _select_all(rankings: Iterable[Ranking]) -> None:
    for ranking in rankings:
        ranking.select()


def _count(rejected: Mapping[Rejection, int]) -> None:
    for cause, count in rejected.items():
        RETRIEVAL_HEAD_REJECTED.add(count, cause=cause.value)
