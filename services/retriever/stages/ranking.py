"""One query on its way: what was found, what may be shown, and how it ranks. State of one search, never shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from corpus.analysis import analyse, analyse_query
from corpus.domain import ServedHead
from corpus.ports import StoredChunk
from retriever.domain import Explanation, Leg, Query
from retriever.stages.adjust import NO_ADJUSTMENT, Adjustment, AdjustPolicy, adjust
from retriever.stages.fuse import Fused, explain_legs, fuse, leg_weights, ranked
from retriever.stages.head_check import Reader, Rejection, overtaken, rejection
from retriever.stages.legs import LegAnswer
from retriever.stages.rerank import interpolate
from retriever.stages.select import Selection, select
from retriever.stages.understand import Understood


@dataclass(frozen=True, slots=True)
class RankingPolicy:
    """How candidates become hits.

    Attributes:
        vector_weight: Share of the vector leg in the fused score.
        graph_weight: Weight of the graph leg, where the others have 1 together.
        vector_weight_by_type: The same by document type.
        adjust: Freshness and structure.
        rerank_depth: How many candidates are reranked.
        rerank_weight: Share of the reranker in the final score.
        max_per_document: Hits of one document at most, where the query does not say.
    """

    vector_weight: float = 0.5
    graph_weight: float = 0.0
    vector_weight_by_type: Mapping[str, float] = field(default_factory=dict)
    adjust: AdjustPolicy = field(default_factory=AdjustPolicy)
    rerank_depth: int = 30
    rerank_weight: float = 0.3
    max_per_document: int = 20

    @property
    def needs_descriptions(self) -> bool:
        """Whether ranking depends on the documents' descriptions, so that every candidate's must be read."""
        return self.adjust.active or bool(self.vector_weight_by_type)

    def for_query(self, query: Query) -> RankingPolicy:
        """The same, with the freshness that the query asks for where that is more."""
        if query.freshness_weight <= self.adjust.freshness_weight:
            return self
        return replace(self, adjust=replace(self.adjust, freshness_weight=query.freshness_weight))


@dataclass(slots=True, eq=False)
class Ranking:
    """The candidates of one query, from the legs' lists to the chosen hits.

    Attributes:
        understood: The query.
        policy: How to rank.
        depth: How many candidates each leg was asked for.
        asked_at: When the legs were asked last, in seconds of a monotonic clock.
        answer: What the legs found.
        fused: Their lists as one, by the weights that hold for every document type.
        cursor: How far ``fused.order`` was read from the stores.
        live: Candidates up to the cursor that passed the head check, in fused order.
        payloads: Payloads of candidates, by chunk id.
        heads: Heads as they were read last, by document id.
        dropped: Chunk ids that a head check forbade, over all rounds, and none allowed since.
        overtaken: Of documents with dropped chunks the newer version that the reader may be shown, by document id.
        rerank_scores: The reranker's own scores, by chunk id.
        scores: Final scores of the live ones.
        chosen: The selection.
    """

    understood: Understood
    policy: RankingPolicy
    depth: int
    asked_at: float = 0.0
    answer: LegAnswer = field(default_factory=LegAnswer)
    fused: Fused = field(default_factory=lambda: Fused([], {}, {}, {}))
    cursor: int = 0
    live: list[str] = field(default_factory=list)
    payloads: dict[str, StoredChunk] = field(default_factory=dict)
    heads: dict[str, ServedHead] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    overtaken: dict[str, int] = field(default_factory=dict)
    rerank_scores: dict[str, float] = field(default_factory=dict)
    rerank_failed: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    chosen: Selection = field(default_factory=lambda: Selection([], 0, 0))
    _adjusted: dict[str, float] = field(default_factory=dict)
    _adjustments: dict[str, Adjustment] = field(default_factory=dict)
    _base: dict[str, float] = field(default_factory=dict)
    _stretched: dict[str, float] = field(default_factory=dict)

    def fuse(self, answer: LegAnswer) -> None:
        """Takes what the legs found, and starts over with reading."""
        self.answer = answer
        self.fused = fuse(answer.lists, self.understood.query.fusion, self._weights(None))
        self.cursor = 0
        self.live = []

    def next_window(self, size: int) -> list[str]:
        """The next candidates in fused order, ``size`` of them; all, where ranking needs to know every one."""
        start = self.cursor
        end = len(self.fused.order) if self.policy.needs_descriptions else start + size
        self.cursor = min(end, len(self.fused.order))
        return self.fused.order[start : self.cursor]

    @property
    def exhausted(self) -> bool:
        """Whether every candidate was read."""
        return self.cursor >= len(self.fused.order)

    def document_of(self, chunk_id: str) -> str:
        """The candidate's document id."""
        return self.fused.candidates[chunk_id].document_id

    def check_window(
        self, window: Sequence[str], heads: Mapping[str, ServedHead], reader: Reader, now: datetime
    ) -> Counter[Rejection]:
        """Appends to ``live`` what the heads just read allow; returns why the others were dropped."""
        self.heads.update(heads)
        rejected: Counter[Rejection] = Counter()
        for chunk_id in window:
            candidate = self.fused.candidates[chunk_id]
            head = heads.get(candidate.document_id)
            cause = rejection(head, candidate.chunks_version, reader, now)
            if cause is not None:
                if chunk_id not in self.dropped:
                    rejected[cause] += 1
                self._drop(chunk_id, head, reader, now)
            elif chunk_id in self.payloads:
                self.dropped.discard(chunk_id)
                self.live.append(chunk_id)
        return rejected

    def confirm(self, heads: Mapping[str, ServedHead], reader: Reader, now: datetime) -> Counter[Rejection]:
        """Drops chosen candidates that newer heads forbid; returns why."""
        rejected: Counter[Rejection] = Counter()
        confirmed = []
        for chunk_id in self.chosen.chosen:
            candidate = self.fused.candidates[chunk_id]
            head = heads.get(candidate.document_id)
            cause = rejection(head, candidate.chunks_version, reader, now)
            if cause is None:
                confirmed.append(chunk_id)
            else:
                rejected[cause] += 1
                self._drop(chunk_id, head, reader, now)
        self.heads.update(heads)
        self.chosen = Selection(confirmed, self.chosen.duplicates, self.chosen.capped)
        return rejected

    def _drop(self, chunk_id: str, head: ServedHead | None, reader: Reader, now: datetime) -> None:
        self.dropped.add(chunk_id)
        candidate = self.fused.candidates[chunk_id]
        if head is not None and overtaken(head, candidate.chunks_version, reader, now):
            self.overtaken[candidate.document_id] = head.chunks_version

    @property
    def missed(self) -> dict[str, int]:
        """Documents of which only old chunks were found, or only such as were not live yet; by id, with the version
        that is live now."""
        if not self.overtaken:
            return {}
        candidates = (each for each in self.fused.candidates.values() if each.chunk_id not in self.dropped)
        found = {(each.document_id, each.chunks_version) for each in candidates}
        return {each: version for each, version in self.overtaken.items() if (each, version) not in found}

    def score(self, now: datetime) -> None:
        """Final scores of the live candidates from what is known now; ``live`` is brought into their order."""
        policy, query = self.policy, self.understood.query
        self._base = {chunk_id: self.fused.scores[chunk_id] for chunk_id in self.live}
        if policy.vector_weight_by_type and query.vector_weight is None:
            lists, live = self.answer.lists, set(self.live)
            by_type = fuse(lists, query.fusion, lambda chunk_id: self._weights(chunk_id if chunk_id in live else None))
            self._base = {chunk_id: by_type.scores[chunk_id] for chunk_id in self.live}
        self._adjusted = dict(self._base)
        if policy.adjust.active:
            terms = analyse_query(query.text)
            for chunk_id, base in self._base.items():
                stored = self.payloads[chunk_id]
                parts = adjust(base, stored, policy.adjust, terms=terms, analyse=analyse, now=now)
                self._adjustments[chunk_id] = parts
                self._adjusted[chunk_id] = base + parts.freshness + parts.structure
        self._stretched = {}
        self.scores = dict(self._adjusted)
        self.live = ranked(self.scores)

    def rerank_window(self) -> list[str]:
        """The candidates that the reranker is to see."""
        return self.live[: self.policy.rerank_depth]

    def mix_reranked(self, window: Sequence[str]) -> None:
        """Interpolates the reranker's scores of the window, which all must be known."""
        before = [self._adjusted[chunk_id] for chunk_id in window]
        raw = [self.rerank_scores[chunk_id] for chunk_id in window]
        stretched, mixed = interpolate(before, raw, self.policy.rerank_weight)
        self._stretched = dict(zip(window, stretched, strict=True))
        self.scores.update(zip(window, mixed, strict=True))
        self.live = ranked(self.scores)

    def select(self) -> None:
        """Chooses the hits among the live candidates."""
        query = self.understood.query
        self.chosen = select(
            (chunk_id for chunk_id in self.live if self.scores[chunk_id] >= query.min_score),
            query.k,
            document_of=self.document_of,
            text_of=lambda chunk_id: self.payloads[chunk_id].chunk.text,
            max_per_document=query.max_per_document or self.policy.max_per_document,
        )

    @property
    def was_reranked(self) -> bool:
        """Whether the reranker's scores are part of the final ones."""
        return bool(self._stretched)

    @property
    def may_find_more(self) -> bool:
        """Whether fewer than k were chosen while candidates that could be wait further down the lists read so far."""
        if len(self.chosen.chosen) >= self.understood.query.k or self.exhausted:
            return False
        # Candidates come in descending fused order: once one lies below the threshold, so do all that follow.
        return self.fused.scores[self.fused.order[self.cursor]] >= self.understood.query.min_score

    @property
    def should_go_deeper(self) -> bool:
        """Whether hits are missing because candidates were dropped, and a leg had more of them than it was asked
        for.
        """
        if len(self.chosen.chosen) >= self.understood.query.k:
            return False
        lost = len(self.dropped) + self.chosen.duplicates + self.chosen.capped
        return lost > 0 and any(len(found) >= self.depth for found in self.answer.lists.values())

    def explain(self, chunk_id: str) -> Explanation:
        """The parts of a chosen candidate's score."""
        weights = self._weights(chunk_id)
        parts = self._adjustments.get(chunk_id, NO_ADJUSTMENT)
        return Explanation(
            legs=explain_legs(chunk_id, self.answer.lists, self.fused, weights),
            fused=self._base[chunk_id],
            freshness=parts.freshness,
            structure=parts.structure,
            adjusted=self._adjusted[chunk_id],
            rerank=self._stretched.get(chunk_id),
            final=self.scores[chunk_id],
        )

    def similarities(self) -> dict[str, float]:
        """Cosine similarity by chunk id, of what the vector leg found."""
        return {candidate.chunk_id: candidate.score for candidate in self.answer.lists.get(Leg.VECTOR, ())}

    def _weights(self, chunk_id: str | None) -> dict[Leg, float]:
        weight = self.understood.query.vector_weight
        if weight is None:
            weight = self.policy.vector_weight
            if chunk_id is not None and (stored := self.payloads.get(chunk_id)) is not None:
                weight = self.policy.vector_weight_by_type.get(stored.doc_type, weight)
        return leg_weights(self.answer.lists, weight, self.policy.graph_weight)
