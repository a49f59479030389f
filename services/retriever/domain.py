"""Nouns of a search. Immutable and free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from corpus.domain import Section, ServedHead
from corpus.ports import StoredChunk

MAX_QUERY_CHARACTERS = 8_192
MAX_K = 200
MAX_BATCH = 64
MAX_CITATIONS = 200


class Leg(StrEnum):
    """One retrieval source."""

    VECTOR = "vector"
    LEXICAL = "lexical"
    GRAPH = "graph"
    """What the best passages lead to: passages of documents that they mention by name."""


ALL_LEGS = frozenset(Leg)
SEARCHING_LEGS = frozenset({Leg.VECTOR, Leg.LEXICAL})
"""Those that find something by itself; the graph leg adds to what is found."""


class RerankMode(StrEnum):
    """Whether the reranker is asked."""

    AUTO = "auto"
    """Where the configured model was measured to help."""
    ON = "on"
    OFF = "off"


class FusionMethod(StrEnum):
    """How the lists of the legs become one."""

    CONVEX = "convex"
    """Min-max normalised convex combination."""
    RRF = "rrf"
    """Reciprocal rank fusion."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a caller asks for, as it came: see ``stages.understand`` for what is accepted.

    Attributes:
        text: The question.
        k: Number of hits wanted.
        filter: JSON-like metadata filter, or None.
        rerank: Whether to rerank.
        fusion: How to fuse.
        expand_sections: Whether hits carry the text of their section.
        explain: Whether hits carry the parts of their score.
        legs: Names of the only legs to ask; empty for the configured ones.
        min_score: Hits under this score are left out.
        max_per_document: At most this many hits of one document; 0 takes the setting.
        vector_weight: Weight of the vector leg in [0, 1] instead of the configured ones.
        generation: Name of a generation to search instead of the active one; for administrators.
        freshness_weight: Share of a hit's score that ages, in [0, 1], where it is more than the configured one.
    """

    text: str
    k: int = 10
    filter: Mapping[str, object] | None = None
    rerank: RerankMode = RerankMode.AUTO
    fusion: FusionMethod = FusionMethod.CONVEX
    expand_sections: bool = False
    explain: bool = False
    legs: tuple[str, ...] = ()
    min_score: float = 0.0
    max_per_document: int = 0
    vector_weight: float | None = None
    generation: str = ""
    freshness_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class LegScore:
    """What one leg contributed: ``weight * normalised``.

    ``rank`` is 1-based; 0 when the leg did not find the passage, and then ``raw`` and ``normalised`` are 0.
    """

    leg: Leg
    rank: int
    raw: float
    normalised: float
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every part of a hit's score.

    ``fused`` is the sum of the legs' contributions, ``adjusted = fused + freshness + structure`` (freshness ≤ 0: what
    age costs), and ``final = adjusted + rerank_weight * (rerank - adjusted)`` where the passage was reranked, else
    ``adjusted``.
    """

    legs: tuple[LegScore, ...]
    fused: float
    freshness: float
    structure: float
    adjusted: float
    rerank: float | None
    final: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage the caller may read, with the head that said so."""

    stored: StoredChunk
    head: ServedHead
    score: float
    similarity: float
    explanation: Explanation | None = None
    section: Section | None = None


@dataclass(frozen=True, slots=True)
class StageTiming:
    """How long one stage took."""

    stage: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and what they were made without.

    Attributes:
        hits: At most k.
        degraded: Legs and stages that were wanted and failed, sorted by the order of the stages.
        timings: Per stage; the searches of one batch share theirs.
        generation: Index generation that was searched; "" when there is none yet.
        dropped_by_head_check: Candidates that the legs found and a head forbade.
        reranked: Whether scores of the reranker are part of the hits' scores.
    """

    hits: tuple[Hit, ...]
    degraded: tuple[str, ...] = ()
    timings: tuple[StageTiming, ...] = ()
    generation: str = ""
    dropped_by_head_check: int = 0
    reranked: bool = False


@dataclass(frozen=True, slots=True)
class CitationKey:
    """What a citation names."""

    document_id: str
    chunks_version: int
    chunk_id: str


@dataclass(frozen=True, slots=True)
class ResolvedCitation:
    """A citation and its passage; ``stored`` is None when the caller may not read it now, for whatever reason."""

    key: CitationKey
    stored: StoredChunk | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """Citations as their caller may see them now, in the order in which they were asked for, and on what that rests.

    Attributes:
        access_fingerprint: Equal exactly for callers who may read the same; tells tenants of one name apart.
        generation: Name of the active generation; "" when there is none yet.
    """

    citations: tuple[ResolvedCitation, ...]
    access_fingerprint: str
    generation: str
