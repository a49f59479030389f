"""A corpus in memory behind the ports that a search reads, and peers that can be told to fail, to wait, or to act."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chassis.clock import ManualClock
from chassis.identity import Caller
from corpus.access import access_tokens
from corpus.domain import (
    AccessPolicy,
    Candidate,
    Chunk,
    DocumentKey,
    FieldType,
    Generation,
    Head,
    HeadState,
    Section,
    Tenant,
)
from corpus.generation_plan import Beside, BesideRole, GenerationPlan
from corpus.index_ports import MayBeShown
from corpus.ports import Prefilter, StoredChunk
from retriever.catalogue import Catalogue
from retriever.citations import ResolveCitations
from retriever.ports import Passage
from retriever.reads import CorpusReads, ReadDeadlines
from retriever.rows import HeadChecks
from retriever.service import SearchPassages, SearchPolicy
from retriever.stages.feedback import Feedback
from retriever.stages.legs import LegDeadlines, Legs
from retriever.stages.ranking import RankingPolicy

TENANT = "acme"
START = datetime(2026, 1, 1, tzinfo=UTC)
GENERATION = Generation("g1", "minilm", "r1", 4, "c1", "a1")
ANN = Caller(TENANT, "ann", groups=frozenset({"eng"}), clearance=1)
DIRECTION = np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)

Hook = Callable[[], Awaitable[None]]


def rounded(vector: Any) -> tuple[float, ...]:
    """The vector's numbers with two digits."""
    return tuple(round(number, 2) for number in vector.tolist())


@dataclass
class Peer:
    """Something that is asked, and may be told to raise, to hang, or to run a hook first."""

    error: Exception | None = None
    hang: bool = False
    before: Hook | None = None
    calls: int = 0

    async def answer(self) -> None:
        self.calls += 1
        if self.before is not None:
            await self.before()
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


@dataclass
class FakeEmbedder(Peer):
    texts: list[str] = field(default_factory=list)
    empty: frozenset[str] = frozenset()

    async def embed(self, tenant_id: str, texts: Sequence[str], generation: Generation) -> NDArray[np.float32]:
        await self.answer()
        self.texts += texts
        return np.stack([np.zeros(4, np.float32) if text in self.empty else DIRECTION for text in texts])


@dataclass
class FakeIndex(Peer):
    """Both legs: lists are what the test says, cut at k, and filtered as a real leg would unless ``leaky``."""

    ranked: list[Candidate] = field(default_factory=list)
    by_query: dict[str, list[Candidate]] = field(default_factory=dict)
    depths: list[int] = field(default_factory=list)
    prefilters: list[Prefilter] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    asked: list[object] = field(default_factory=list)
    stored: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    around: dict[tuple[float, ...], list[Candidate]] = field(default_factory=dict)
    """What is found near a vector of which these are the numbers, rounded to two digits."""
    stored_error: Exception | None = None
    links: list[Candidate] = field(default_factory=list)
    links_error: Exception | None = None
    rows: list[tuple[str, int]] = field(default_factory=list)
    shown: Collection[tuple[str, int]] = ()

    async def search(
        self, generation: str, queries: Sequence[object], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        await self.answer()
        self.depths.append(k)
        self.prefilters.append(prefilter)
        self.widths.append(len(queries))
        self.asked.extend(queries)
        return [self._list(query)[:k] for query in queries]

    async def vectors_of(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        if self.stored_error is not None:
            raise self.stored_error
        return {each: self.stored[each] for each in chunk_ids if each in self.stored}

    async def linked(
        self, generation: str, queries: Sequence[object], k: int, prefilter: Prefilter, shown: MayBeShown
    ) -> Sequence[Sequence[Candidate]]:
        if self.links_error is not None:
            raise self.links_error
        self.shown = await shown(self.rows)
        return [self.links[:k] for _ in queries]

    def _list(self, query: object) -> list[Candidate]:
        if isinstance(query, np.ndarray) and (near := rounded(query)) in self.around:
            return self.around[near]
        words = [str(word) for word in query] if isinstance(query, tuple | list) else []
        return next((self.by_query[word] for word in words if word in self.by_query), self.ranked)


@dataclass
class FakeHeads(Peer):
    by_id: dict[str, Head] = field(default_factory=dict)
    asked: list[frozenset[str]] = field(default_factory=list)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        await self.answer()
        self.asked.append(frozenset(document_ids))
        heads = {each: self.by_id[each] for each in document_ids if each in self.by_id}
        return {each: head for each, head in heads.items() if head.key.tenant_id == tenant_id}


@dataclass
class FakeChunks(Peer):
    by_id: dict[str, StoredChunk] = field(default_factory=dict)
    sections: dict[tuple[str, int, str, int], Section] = field(default_factory=dict)
    before_sections: Hook | None = None

    async def get_chunks(self, tenant_id: str, chunk_ids: Collection[str]) -> Mapping[str, StoredChunk]:
        await self.answer()
        return {each: self.by_id[each] for each in chunk_ids if each in self.by_id}

    async def get_sections(
        self, tenant_id: str, wanted: Collection[tuple[str, int, str, int]]
    ) -> Mapping[tuple[str, int, str, int], Section]:
        if self.before_sections is not None:
            await self.before_sections()
        return {each: self.sections[each] for each in wanted if each in self.sections}


@dataclass
class FakeReranker(Peer):
    scores: dict[str, float] = field(default_factory=dict)
    is_recommended: bool = False
    seen: list[list[str]] = field(default_factory=list)

    async def score(self, text: str, passages: Sequence[Passage]) -> Sequence[float]:
        await self.answer()
        self.seen.append([each.chunk_id for each in passages])
        return [self.scores.get(each.chunk_id, 0.0) for each in passages]

    async def recommended(self) -> bool:
        return self.is_recommended


@dataclass
class FakeTenants(Peer):
    by_id: dict[str, Tenant] = field(default_factory=dict)

    async def named(self, name: str) -> Tenant | None:
        await self.answer()
        return next((each for each in self.by_id.values() if each.name == name), None)


@dataclass
class FakeGenerations(Peer):
    current: Generation | None = GENERATION

    beside: Generation | None = None

    async def plan(self) -> GenerationPlan | None:
        await self.answer()
        if self.current is None:
            return None
        beside = self.beside and Beside(self.beside, BesideRole.SHADOW, START)
        return GenerationPlan(1, self.current, beside)


class World:
    """A tenant's corpus and everything a search talks to."""

    def __init__(self, **policy: Any) -> None:
        self.clock = ManualClock(START)
        self.embedder = FakeEmbedder()
        self.vector = FakeIndex()
        self.lexical = FakeIndex()
        self.heads = FakeHeads()
        self.chunks = FakeChunks()
        self.reranker = FakeReranker()
        self.tenants = FakeTenants(
            by_id={TENANT: Tenant(TENANT, {"year": FieldType.NUMBER, "language": FieldType.STRING}, START)}
        )
        self.generations = FakeGenerations()
        self.deadlines = LegDeadlines(0.05, 0.05, 0.05)
        self.rerank_seconds = 0.05
        self.ranking = RankingPolicy(rerank_weight=0.5)
        self.policy = {"leg_candidates": 100, **policy}

    def add(
        self,
        document_id: str,
        *,
        vector: float | None = None,
        lexical: float | None = None,
        text: str = "",
        ordinal: int = 0,
        **head: Any,
    ) -> str:
        """Adds a chunk of a live document that everybody in the tenant may read, and puts it into the legs' lists."""
        chunk_id = f"{document_id}#{ordinal}"
        key = DocumentKey(TENANT, document_id)
        public = AccessPolicy(access_tokens(TENANT, ["public"]))
        self.heads.by_id.setdefault(
            document_id,
            replace(Head(key, 3, 2, HeadState.LIVE, public, "g1", "e", START, ingest_trace_id="a" * 32), **head),
        )
        body = text or f"passage {chunk_id}"
        chunk = Chunk(chunk_id, key, 2, ordinal, "g1", body, 0, len(body), 0, ("Guide",), content_sha256="x")
        self.chunks.by_id[chunk_id] = StoredChunk(chunk, f"Title {document_id}", "text", "", "en", {}, START)
        self.chunks.sections[document_id, 2, "g1", 0] = Section(0, ("Guide",), 0, 9, f"section of {document_id}")
        for index, score in ((self.vector, vector), (self.lexical, lexical)):
            if score is not None:
                index.ranked.append(Candidate(chunk_id, document_id, 2, score))
                index.ranked.sort(key=lambda each: (-each.score, each.chunk_id))
        return chunk_id

    def change_head(self, document_id: str, **changes: Any) -> None:
        self.heads.by_id[document_id] = replace(self.heads.by_id[document_id], **changes)

    def catalogue(self) -> Catalogue:
        return Catalogue(self.tenants, self.generations, self.clock)

    def reads(self) -> CorpusReads:
        return CorpusReads(self.heads, self.chunks, ReadDeadlines(0.05, 0.05))

    def searches(self) -> SearchPassages:
        """The use case over this world, with closed breakers."""
        shown = HeadChecks(self.reads(), self.clock).shown
        legs = Legs(self.embedder, self.vector, self.lexical, self.deadlines, shown)
        policy = SearchPolicy(ranking=self.ranking, rerank_seconds=self.rerank_seconds, **self.policy)
        feedback = Feedback(self.vector, 0.05)
        return SearchPassages(self.catalogue(), legs, self.reads(), self.reranker, policy, self.clock, feedback)

    def citations(self) -> ResolveCitations:
        return ResolveCitations(self.catalogue(), self.reads(), self.clock)
