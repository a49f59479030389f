"""Bodies of the HTTP edge, as OpenAPI describes them. They mirror the protobuf messages, in the same words."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from gateway.http.bodies import Name, Request, Response, StageBody, short_name
from gateway.http.cost_models import QueryCostBody
from gateway.http.plan_models import PlanBody, PlanOptionsBody, TurnBody
from gateway.http.support_models import ConflictBody, SupportBody

# Searching


class Retrieval(Request):
    """How passages are searched."""

    k: int = Field(10, description="Hits, 1 to 200.")
    filter: dict[str, Any] | None = Field(
        None, description='Over declared fields, for instance {"language": "python", "year": {"$gte": 2024}}.'
    )
    rerank: Literal["auto", "on", "off"] = "auto"
    fusion: Literal["convex", "rrf"] = "convex"
    expand: Literal["none", "section"] = "none"
    explain: bool = False
    legs: list[Literal["vector", "lexical", "graph"]] = Field(default_factory=list, description="Empty: all.")
    min_score: float = Field(0.0, ge=0, le=1)
    max_per_document: int = Field(0, ge=0, le=200)
    vector_weight: float | None = Field(None, ge=0, le=1)


class SearchBody(Retrieval):
    """A search."""

    query: str = Field(description="1 to 8,192 characters.")


class SpanBody(Response):
    """Code points of the document's text, [start, end)."""

    start: int
    end: int


class LocationBody(Response):
    """Where a passage stands."""

    heading_path: list[str]
    page: int
    span: SpanBody | None = None


class SectionBody(Response):
    """The section around a passage."""

    location: LocationBody
    text: str


class HitBody(Response):
    """A passage the caller may read."""

    chunk_id: str
    document_id: str
    document_version: int
    chunks_version: int
    score: float
    similarity: float
    text: str
    title: str
    doc_type: str
    uri: str
    location: LocationBody
    metadata: dict[str, Any] | None = None
    updated_at: datetime | None = None
    section: SectionBody | None = None
    ingest_trace_id: str
    explanation: dict[str, Any] | None = None


class SearchResultBody(Response):
    """What a search found."""

    hits: list[HitBody]
    degraded: list[str]
    timings: list[StageBody]
    generation: str
    dropped_by_head_check: int
    reranked: bool


class SearchBatchBody(Request):
    """Up to 64 searches."""

    queries: list[SearchBody]


class SearchBatchResultBody(Response):
    """Results in the order of the queries."""

    results: list[SearchResultBody]


# Answering


class AskBody(Request):
    """A question."""

    question: str = Field(description="1 to 8,192 characters.")
    context_tokens: int = Field(0, ge=0, description="Tokens of context; 0 takes the service's setting.")
    filter: dict[str, Any] | None = None
    rerank: Literal["auto", "on", "off"] = "auto"
    k: int | None = Field(None, description="Passages to read; the service's setting by default.")
    history: list[TurnBody] = Field(default_factory=list, description="Earlier turns, oldest first, at most 20.")
    plan: PlanOptionsBody = Field(default_factory=PlanOptionsBody)
    reveal: bool = Field(False, description="Tell what pseudonyms in the answer stand for; scope reveal.")


class AskBatchBody(Request):
    """Up to 64 questions."""

    questions: list[AskBody]


class CitationBody(Response):
    """The source of a sentence; ``number`` is its mark in the text."""

    number: int
    document_id: str
    chunks_version: int
    chunk_id: str
    title: str
    uri: str
    location: LocationBody | None = None
    quote: str
    ingest_trace_id: str
    document_updated_at: datetime | None = None
    readable: bool


class UsageBody(Response):
    """Tokens."""

    context_tokens: int
    prompt_tokens: int
    completion_tokens: int


class RefusalBody(Response):
    """Why a guardrail refused a question."""

    reason: str
    score: float


class AnswerBody(Response):
    """How an answer ended."""

    answer_id: str
    outcome: Name = Field(description="answered, abstained, fallback, not_searched, clarification or refused.")
    text: str
    citations: list[CitationBody]
    confidence: float
    degraded: list[str]
    timings: list[StageBody]
    usage: UsageBody
    trace_id: str
    generator: str
    generation: str
    plan: PlanBody | None = None
    refusal: RefusalBody | None = None
    cost: QueryCostBody | None = None
    support: list[SupportBody] = Field(description="Each sentence of the text; empty where they were not verified.")
    abstention_reason: str = Field(
        description="nothing_found, not_in_passages, unsupported or unreadable; empty where it is no abstention."
    )
    conflicts: list[ConflictBody] = Field(description="Sources of the answer that disagree.")


class AnswersBody(Response):
    """Answers in the order of the questions."""

    answers: list[AnswerBody]


class LoggedAnswerBody(Response):
    """A logged answer as its reader may see it now."""

    question: str
    answer: AnswerBody
    answered_at: datetime
    redacted: bool


# Documents


class AccessBody(Request):
    """Who may read: "user:…", "group:…" or "public"; nobody when empty."""

    principals: list[str] = Field(default_factory=list)
    security_level: int = Field(0, ge=0, le=2**31 - 1)


class DocumentBody(Request):
    """A document whose content is text."""

    document_id: str
    content: str
    version: int = Field(0, ge=0, description="0: the service assigns one.")
    filename: str = ""
    media_type: str = "text/markdown"
    title: str = ""
    doc_type: str = ""
    uri: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    access: AccessBody = Field(default_factory=AccessBody)
    expires_at: datetime | None = None
    bulk: bool = Field(False, description="A backfill: it waits for whatever else there is to do.")


class AccessChangeBody(AccessBody):
    """New readers of a document."""

    version: int = Field(0, ge=0)


class ReceiptBody(Response):
    """An accepted change."""

    event_id: str
    document_id: str
    version: int
    outcome: Name
    trace_id: str


class ChangeStateBody(Response):
    """An accepted change and what became of it."""

    event_id: str
    document_id: str
    version: int
    kind: Name
    state: Name
    reason: str
    message: str
    attempts: int
    accepted_at: datetime | None = None
    finished_at: datetime | None = None
    trace_id: str


class StoredDocumentBody(Response):
    """A document as it is served. ``access`` is for callers with the write scope."""

    document_id: str
    version: int
    state: Name
    title: str
    doc_type: str
    uri: str
    language: str
    media_type: str
    metadata: dict[str, Any] | None = None
    access: dict[str, Any] | None = None
    expires_at: datetime | None = None
    updated_at: datetime | None = None
    chunks: int
    size_bytes: int
    content_sha256: str
    ingest_trace_id: str
    generation: str


class DocumentStateBody(Response):
    """A document and its newest changes."""

    document: StoredDocumentBody
    changes: list[ChangeStateBody]


class DocumentsBody(Response):
    """A page of documents."""

    documents: list[StoredDocumentBody]
    next_page_token: str


class ChangesBody(Response):
    """Changes; unknown ids are left out."""

    changes: list[ChangeStateBody]


class FieldBody(BaseModel):
    """A declared metadata field."""

    name: str
    type: Annotated[
        Literal["string", "number", "boolean", "timestamp", "version", "string_list", "number_list"],
        BeforeValidator(short_name),
    ]


class TenantRequestBody(Request):
    """A tenant to be created, or given more fields."""

    tenant_id: str
    fields: list[FieldBody] = Field(default_factory=list)


class TenantBody(Response):
    """A tenant."""

    tenant_id: str
    fields: list[FieldBody]
    created_at: datetime | None = None


class TenantsBody(Response):
    """All tenants."""

    tenants: list[TenantBody]


class ProblemBody(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    request_id: str
    metadata: dict[str, str] | None = None
    retry_after_seconds: float | None = None
