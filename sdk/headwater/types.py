"""What calls take and give. Everything is immutable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from headwater.costs import QueryCost
from headwater.support import SentenceSupport, SourceConflict


@dataclass(frozen=True, slots=True)
class Identity:
    """The development identity's parts; only a gateway in development mode on loopback takes them."""

    tenant: str = "default"
    subject: str = "developer"
    groups: Sequence[str] = ()
    clearance: int = 0
    scopes: Sequence[str] = ("read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a passage stands: headings, page (0: none) and span ``text[start:end]`` in code points of the extracted
    text."""

    heading_path: tuple[str, ...]
    page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stage:
    """How long one stage of a request took."""

    name: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class LegScore:
    """A leg's part in a hit's score; rank 0: the leg did not find it."""

    leg: str
    rank: int
    raw: float
    normalised: float
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every part of a hit's score."""

    legs: tuple[LegScore, ...]
    fused: float
    freshness: float
    structure: float
    adjusted: float
    rerank: float | None
    final: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found."""

    document_id: str
    document_version: int
    chunk_id: str
    score: float
    similarity: float
    text: str
    title: str
    doc_type: str
    uri: str
    location: Location
    metadata: Mapping[str, object]
    updated_at: datetime
    section_text: str | None
    ingest_trace_id: str
    explanation: Explanation | None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first. ``degraded`` names legs and stages that were missing."""

    hits: tuple[Hit, ...]
    degraded: tuple[str, ...]
    stages: tuple[Stage, ...]
    generation: str
    reranked: bool


class AnswerOutcome(StrEnum):
    """How a question ended."""

    ANSWERED = "answered"
    ABSTAINED = "abstained"
    FALLBACK = "fallback"
    NOT_SEARCHED = "not_searched"
    CLARIFICATION = "clarification"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a guardrail refused a question; ``score`` 0 to 1."""

    reason: str
    score: float


@dataclass(frozen=True, slots=True)
class Citation:
    """What a sentence of an answer stands on. ``readable`` False: in a replay, the reader may no longer see it."""

    number: int
    document_id: str
    chunk_id: str
    title: str
    uri: str
    quote: str
    location: Location
    updated_at: datetime
    ingest_trace_id: str
    readable: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question of a conversation, and what was answered."""

    question: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Collections that a question belongs to; ``applied``: only these were searched."""

    collections: tuple[str, ...]
    confidence: float
    applied: bool


@dataclass(frozen=True, slots=True)
class SuggestedFilter:
    """A filter that the question's words speak of; ``applied``: nothing outside of it was searched."""

    filter: Mapping[str, object]
    words: str
    certain: bool
    applied: bool


@dataclass(frozen=True, slots=True)
class Meaning:
    """One thing that a question may mean, and the number of the citation that it comes from."""

    label: str
    citation: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How a question was understood. ``k`` 0: as configured; ``searches``: its parts, searched for besides."""

    question_class: str
    class_confidence: float
    rewritten_question: str
    route: Route | None
    k: int
    searches: tuple[str, ...]
    suggested_filters: tuple[SuggestedFilter, ...]
    meanings: tuple[Meaning, ...]
    freshness_weight: float
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. ``support`` is empty where its sentences were not verified."""

    answer_id: str
    outcome: AnswerOutcome
    text: str
    citations: tuple[Citation, ...]
    confidence: float
    degraded: tuple[str, ...]
    stages: tuple[Stage, ...]
    trace_id: str
    generator: str
    plan: Plan | None = None
    refusal: Refusal | None = None
    cost: QueryCost | None = None
    support: tuple[SentenceSupport, ...] = ()
    abstention_reason: str = ""
    conflicts: tuple[SourceConflict, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """An answer from the log. ``redacted``: sentences were taken out, because their source is no longer readable."""

    question: str
    answer: Answer
    answered_at: datetime
    redacted: bool


AnswerEvent = Stage | str | Citation | Answer
"""Of a stream: stages, pieces of text (str), citations, and last the whole answer."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A change was accepted durably; ``unchanged``: it says nothing new and nothing was done."""

    event_id: str
    document_id: str
    version: int
    unchanged: bool
    trace_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """An accepted change and what became of it: pending, applied, superseded, duplicate, dead_lettered or
    discarded."""

    event_id: str
    document_id: str
    version: int
    kind: str
    state: str
    reason: str
    message: str
    attempts: int
    accepted_at: datetime
    finished_at: datetime | None
    trace_id: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its reader sees it. ``readers`` is empty without the write scope."""

    document_id: str
    version: int
    state: str
    title: str
    doc_type: str
    uri: str
    language: str
    media_type: str
    metadata: Mapping[str, object]
    readers: tuple[str, ...]
    security_level: int
    expires_at: datetime | None
    updated_at: datetime
    chunks: int
    size_bytes: int
    content_sha256: str
    ingest_trace_id: str
    generation: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenChange:
    """A change in no terminal state. ``cause``: waiting (in the log), retrying (see the change's reason), halted (see
    the halts) or replayed (waits in the log after an operator had it tried again)."""

    change: Change
    cause: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Halt:
    """A worker that takes no changes, because it refuses documents that it should be able to read."""

    worker: str
    since: datetime
    seen_at: datetime
    reason: str
    message: str
    rejections: int


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """Where ingestion stands: lag of the whole log, ``bulk_lag`` of it in the bulk lane, halted workers, and counts of
    the caller's tenant. ``open_dead_letters`` is of all tenants, and 0 for callers without the admin scope."""

    lag: int
    live_documents: int
    live_chunks: int
    live_tokens: int
    change_counts: Mapping[str, int]
    oldest_pending_at: datetime | None
    oldest_pending: tuple[Change, ...]
    newest_dead_letters: tuple[Change, ...]
    generation: str
    bulk_lag: int = 0
    open: tuple[OpenChange, ...] = ()
    halts: tuple[Halt, ...] = ()
    open_dead_letters: int = 0

    @property
    def pending(self) -> int:
        """Accepted changes that are not in a terminal state."""
        return self.change_counts.get("pending", 0)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its declared metadata fields: name to type."""

    tenant_id: str
    fields: Mapping[str, str] = field(default_factory=dict)
