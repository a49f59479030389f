"""Between protobuf messages and the SDK's types; shared by both clients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from google.protobuf import json_format, struct_pb2, timestamp_pb2

from headwater import answer_messages, costs, plan_messages
from headwater.common.v1 import common_pb2
from headwater.gateway.v1 import gateway_pb2
from headwater.ingest.v1 import ingest_pb2
from headwater.retrieval.v1 import retrieval_pb2
from headwater.types import (
    Answer,
    AnswerEvent,
    Change,
    Citation,
    Document,
    Explanation,
    Halt,
    Hit,
    Identity,
    IngestStatus,
    LegScore,
    Location,
    LoggedAnswer,
    OpenChange,
    Receipt,
    Refusal,
    SearchResult,
    Stage,
    Tenant,
    Turn,
)

RerankChoice = Literal["auto", "on", "off"]
_RERANK = {
    "auto": retrieval_pb2.RERANK_MODE_AUTO,
    "on": retrieval_pb2.RERANK_MODE_ON,
    "off": retrieval_pb2.RERANK_MODE_OFF,
}


def call_metadata(token: str | None, identity: Identity | None) -> tuple[tuple[str, str], ...]:
    """Metadata that says who calls."""
    if token is not None:
        return (("authorization", f"Bearer {token}"),)
    if identity is None:
        return ()
    return (
        ("x-headwater-dev-tenant", identity.tenant),
        ("x-headwater-dev-subject", identity.subject),
        ("x-headwater-dev-clearance", str(identity.clearance)),
        ("x-headwater-dev-scopes", " ".join(identity.scopes)),
        # One JSON list: metadata holds ASCII only, and a repeated key may be read as its last value.
        ("x-headwater-dev-groups", json.dumps(list(identity.groups))),
    )


def search_query(
    text: str,
    *,
    k: int = 10,
    filter: Mapping[str, Any] | None = None,
    rerank: RerankChoice = "auto",
    legs: Sequence[str] = (),
    expand: bool = False,
    explain: bool = False,
    min_score: float = 0.0,
    max_per_document: int = 0,
    generation: str = "",
    freshness_weight: float = 0.0,
) -> retrieval_pb2.SearchQuery:
    """A query as protobuf."""
    query = retrieval_pb2.SearchQuery(
        text=text,
        k=k,
        rerank=_RERANK[rerank],
        legs=legs,
        expansion=retrieval_pb2.EXPANSION_SECTION if expand else retrieval_pb2.EXPANSION_NONE,
        explain=explain,
        min_score=min_score,
        max_per_document=max_per_document,
        generation=generation,
        freshness_weight=freshness_weight,
    )
    if filter:
        query.filter.CopyFrom(struct(filter))
    return query


def draft(
    document_id: str,
    *,
    version: int = 0,
    filename: str = "",
    media_type: str = "",
    title: str = "",
    doc_type: str = "",
    uri: str = "",
    metadata: Mapping[str, Any] | None = None,
    readers: Sequence[str] = (),
    security_level: int = 0,
    expires_at: datetime | None = None,
    bulk: bool = False,
) -> ingest_pb2.DocumentDraft:
    """A document's description as protobuf."""
    message = ingest_pb2.DocumentDraft(
        document_id=document_id,
        version=version,
        filename=filename,
        media_type=media_type,
        title=title,
        doc_type=doc_type,
        uri=uri,
        access=common_pb2.Access(principals=readers, security_level=security_level),
        lane=ingest_pb2.LANE_BULK if bulk else ingest_pb2.LANE_UNSPECIFIED,
    )
    if metadata:
        message.metadata.CopyFrom(struct(metadata))
    if expires_at is not None:
        message.expires_at.FromDatetime(expires_at)
    return message


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """A JSON-like mapping as protobuf; datetimes become RFC 3339 text."""
    message = struct_pb2.Struct()
    message.update({key: _plain(value) for key, value in values.items()})
    return message


def search_result(message: retrieval_pb2.SearchResult) -> SearchResult:
    """A search result from protobuf."""
    return SearchResult(
        hits=tuple(hit(item) for item in message.hits),
        degraded=tuple(message.degraded),
        stages=stages(message.timings),
        generation=message.generation,
        reranked=message.reranked,
    )


def hit(message: retrieval_pb2.Hit) -> Hit:
    """A hit from protobuf."""
    return Hit(
        document_id=message.document_id,
        document_version=message.document_version,
        chunk_id=message.chunk_id,
        score=message.score,
        similarity=message.similarity,
        text=message.text,
        title=message.title,
        doc_type=message.doc_type,
        uri=message.uri,
        location=location(message.location),
        metadata=json_format.MessageToDict(message.metadata),
        updated_at=moment(message.updated_at),
        section_text=message.section.text if message.HasField("section") else None,
        ingest_trace_id=message.ingest_trace_id,
        explanation=_explanation(message.explanation) if message.HasField("explanation") else None,
    )


def answer_event(message: gateway_pb2.AskResponse) -> AnswerEvent | None:
    """An event of an answer's stream; None for one that this version does not know."""
    match message.WhichOneof("event"):
        case "stage":
            return Stage(message.stage.stage, message.stage.milliseconds)
        case "token":
            return message.token
        case "citation":
            return citation(message.citation)
        case "final":
            return answer(message.final)
        case _:
            return None


def answer(message: gateway_pb2.AnswerFinal) -> Answer:
    """A whole answer from protobuf."""
    return Answer(
        answer_id=message.answer_id,
        outcome=answer_messages.outcome(message.outcome),
        text=message.text,
        citations=tuple(citation(item) for item in message.citations),
        confidence=message.confidence,
        degraded=tuple(message.degraded),
        stages=stages(message.timings),
        trace_id=message.trace_id,
        generator=message.generator,
        plan=plan_messages.plan(message.plan) if message.HasField("plan") else None,
        refusal=Refusal(message.refusal.reason, message.refusal.score) if message.HasField("refusal") else None,
        cost=costs.query_cost(message.cost) if message.HasField("cost") else None,
        support=answer_messages.support(message.support),
        abstention_reason=message.abstention_reason,
        conflicts=answer_messages.conflicts(message.conflicts),
    )


def question(
    text: str,
    *,
    filter: Mapping[str, Any] | None = None,
    rerank: RerankChoice = "auto",
    k: int = 0,
    history: Sequence[Turn] = (),
    without: Sequence[str] = (),
    apply_suggested_filters: bool = False,
    collections: Sequence[str] = (),
    reveal: bool = False,
) -> gateway_pb2.Question:
    """A question as protobuf."""
    return gateway_pb2.Question(
        text=text,
        retrieval=search_query("", k=k, filter=filter, rerank=rerank) if filter or k or rerank != "auto" else None,
        history=[gateway_pb2.Turn(question=turn.question, answer=turn.answer) for turn in history],
        plan=plan_messages.options(without, apply_suggested_filters, collections),
        reveal=reveal,
    )


def logged_answer(message: gateway_pb2.GetAnswerResponse) -> LoggedAnswer:
    """A replayed answer from protobuf."""
    return LoggedAnswer(message.question, answer(message.answer), moment(message.answered_at), message.redacted)


def citation(message: gateway_pb2.Citation) -> Citation:
    """A citation from protobuf."""
    return Citation(
        number=message.number,
        document_id=message.document_id,
        chunk_id=message.chunk_id,
        title=message.title,
        uri=message.uri,
        quote=message.quote,
        location=location(message.location),
        updated_at=moment(message.document_updated_at),
        ingest_trace_id=message.ingest_trace_id,
        readable=message.readable,
    )


def receipt(message: ingest_pb2.ChangeReceipt) -> Receipt:
    """A receipt from protobuf."""
    return Receipt(
        event_id=message.event_id,
        document_id=message.document_id,
        version=message.version,
        unchanged=message.outcome == ingest_pb2.ACCEPT_OUTCOME_UNCHANGED,
        trace_id=message.trace_id,
    )


def change(message: ingest_pb2.Change) -> Change:
    """A change from protobuf."""
    return Change(
        event_id=message.event_id,
        document_id=message.document_id,
        version=message.version,
        kind=_name(ingest_pb2.ChangeKind.Name(message.kind), "CHANGE_KIND_"),
        state=_name(ingest_pb2.ChangeState.Name(message.state), "CHANGE_STATE_"),
        reason=message.reason,
        message=message.message,
        attempts=message.attempts,
        accepted_at=moment(message.accepted_at),
        finished_at=moment(message.finished_at) if message.HasField("finished_at") else None,
        trace_id=message.trace_id,
    )


def document(message: ingest_pb2.Document, changes: Sequence[ingest_pb2.Change] = ()) -> Document:
    """A document from protobuf."""
    return Document(
        document_id=message.document_id,
        version=message.version,
        state=_name(ingest_pb2.DocumentState.Name(message.state), "DOCUMENT_STATE_"),
        title=message.title,
        doc_type=message.doc_type,
        uri=message.uri,
        language=message.language,
        media_type=message.media_type,
        metadata=json_format.MessageToDict(message.metadata),
        readers=tuple(message.access.principals),
        security_level=message.access.security_level,
        expires_at=moment(message.expires_at) if message.HasField("expires_at") else None,
        updated_at=moment(message.updated_at),
        chunks=message.chunks,
        size_bytes=message.size_bytes,
        content_sha256=message.content_sha256,
        ingest_trace_id=message.ingest_trace_id,
        generation=message.generation,
        changes=tuple(change(item) for item in changes),
    )


def open_change(message: ingest_pb2.OpenChange) -> OpenChange:
    """An open change from protobuf."""
    cause = _name(ingest_pb2.OpenCause.Name(message.cause), "OPEN_CAUSE_")
    return OpenChange(change(message.change), cause, message.age_seconds)


def halt(message: ingest_pb2.Halt) -> Halt:
    """A halt from protobuf."""
    since, seen_at = moment(message.since), moment(message.seen_at)
    return Halt(message.worker, since, seen_at, message.reason, message.message, message.rejections)


def ingest_status(message: ingest_pb2.GetIngestStatusResponse) -> IngestStatus:
    """A status from protobuf."""
    return IngestStatus(
        lag=message.lag,
        live_documents=message.live_documents,
        live_chunks=message.live_chunks,
        live_tokens=message.live_tokens,
        change_counts={
            _name(ingest_pb2.ChangeState.Name(item.state), "CHANGE_STATE_"): item.count
            for item in message.change_counts
        },
        oldest_pending_at=moment(message.oldest_pending_accepted_at)
        if message.HasField("oldest_pending_accepted_at")
        else None,
        oldest_pending=tuple(change(item) for item in message.oldest_pending),
        newest_dead_letters=tuple(change(item) for item in message.newest_dead_letters),
        generation=message.generation,
        bulk_lag=message.bulk_lag,
        open=tuple(open_change(item) for item in message.open),
        halts=tuple(halt(item) for item in message.halts),
        open_dead_letters=message.open_dead_letters,
    )


def tenant(message: common_pb2.Tenant) -> Tenant:
    """A tenant from protobuf."""
    return Tenant(
        message.tenant_id,
        {item.name: _name(common_pb2.FieldType.Name(item.type), "FIELD_TYPE_") for item in message.fields},
    )


def declarations(fields: Mapping[str, str]) -> list[common_pb2.FieldDeclaration]:
    """Declared fields, name to type ("string", "version", …). Raises ValueError for an unknown type."""
    return [
        common_pb2.FieldDeclaration(name=name, type=common_pb2.FieldType.Value(f"FIELD_TYPE_{kind.upper()}"))
        for name, kind in fields.items()
    ]


def location(message: common_pb2.Location) -> Location:
    """A location from protobuf."""
    return Location(tuple(message.heading_path), message.page, message.span.start, message.span.end)


def stages(timings: Sequence[common_pb2.StageTiming]) -> tuple[Stage, ...]:
    """Stage timings from protobuf."""
    return tuple(Stage(item.stage, item.milliseconds) for item in timings)


def moment(stamp: timestamp_pb2.Timestamp) -> datetime:
    """An aware UTC datetime."""
    return stamp.ToDatetime(tzinfo=UTC)


def _explanation(message: retrieval_pb2.Explanation) -> Explanation:
    return Explanation(
        legs=tuple(LegScore(leg.leg, leg.rank, leg.raw, leg.normalised, leg.weight) for leg in message.legs),
        fused=message.fused,
        freshness=message.freshness,
        structure=message.structure,
        adjusted=message.adjusted,
        rerank=message.rerank if message.HasField("rerank") else None,
        final=message.final,
    )


def _name(constant: str, prefix: str) -> str:
    return constant.removeprefix(prefix).lower()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
