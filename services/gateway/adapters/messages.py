"""Protobuf messages to domain nouns and back."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.adapters.plan_messages import options_of, plan_message
from gateway.adapters.support_messages import conflict_message, support_message
from gateway.costs.messages import cost_message
from gateway.domain import (
    Answer,
    AnswerEvent,
    AnswerReady,
    Citation,
    CitationKey,
    CitationSettled,
    Outcome,
    Passage,
    Place,
    Question,
    Rating,
    Replay,
    Retrieved,
    SectionText,
    Span,
    StageFinished,
    TextPiece,
    Timing,
    Usage,
    UsageKnown,
)
from gateway.plan import Turn
from gateway.record.domain import LegScore, Scores
from headwater.common.v1 import common_pb2
from headwater.gateway.v1 import gateway_pb2
from headwater.retrieval.v1 import retrieval_pb2

OUTCOMES = {
    Outcome.ANSWERED: gateway_pb2.ANSWER_OUTCOME_ANSWERED,
    Outcome.ABSTAINED: gateway_pb2.ANSWER_OUTCOME_ABSTAINED,
    Outcome.FALLBACK: gateway_pb2.ANSWER_OUTCOME_FALLBACK,
    Outcome.NOT_SEARCHED: gateway_pb2.ANSWER_OUTCOME_NOT_SEARCHED,
    Outcome.CLARIFICATION: gateway_pb2.ANSWER_OUTCOME_CLARIFICATION,
    Outcome.REFUSED: gateway_pb2.ANSWER_OUTCOME_REFUSED,
}
_RATINGS = {gateway_pb2.RATING_GOOD: Rating.GOOD, gateway_pb2.RATING_BAD: Rating.BAD}


def question_of(message: gateway_pb2.Question) -> Question:
    """A question as it was sent."""
    retrieval = message.retrieval if message.HasField("retrieval") else None
    history = tuple(Turn(turn.question, turn.answer) for turn in message.history)
    options = options_of(message.plan)
    return Question(message.text, message.context_tokens, retrieval, history, options, reveal=message.reveal)


def rating_of(value: gateway_pb2.Rating.ValueType) -> Rating | None:
    """The rating, None for one that is not set or not known."""
    return _RATINGS.get(value)


def retrieved_of(result: retrieval_pb2.SearchResult) -> Retrieved:
    """What a search came back with."""
    return Retrieved(
        passages=tuple(_passage(hit) for hit in result.hits),
        degraded=tuple(result.degraded),
        timings=tuple(Timing(timing.stage, timing.milliseconds) for timing in result.timings),
        generation=result.generation,
    )


def _passage(hit: retrieval_pb2.Hit) -> Passage:
    section = SectionText(_place(hit.section.location), hit.section.text) if hit.HasField("section") else None
    return Passage(
        document_id=hit.document_id,
        chunks_version=hit.chunks_version,
        chunk_id=hit.chunk_id,
        text=hit.text,
        score=hit.score,
        similarity=hit.similarity,
        title=hit.title,
        uri=hit.uri,
        doc_type=hit.doc_type,
        place=_place(hit.location),
        section=section,
        updated_at=hit.updated_at.ToDatetime(tzinfo=UTC) if hit.HasField("updated_at") else None,
        document_version=hit.document_version,
        ingest_trace_id=hit.ingest_trace_id,
        scores=_scores(hit.explanation) if hit.HasField("explanation") else None,
    )


def _scores(message: retrieval_pb2.Explanation) -> Scores:
    return Scores(
        legs=tuple(LegScore(each.leg, each.rank, each.raw, each.normalised, each.weight) for each in message.legs),
        fused=message.fused,
        freshness=message.freshness,
        structure=message.structure,
        adjusted=message.adjusted,
        rerank=message.rerank if message.HasField("rerank") else None,
    )


def _place(location: common_pb2.Location) -> Place:
    return Place(tuple(location.heading_path), location.page, Span(location.span.start, location.span.end))


def event_message(event: AnswerEvent) -> gateway_pb2.AskResponse:
    """One event of an answer's stream."""
    match event:
        case StageFinished(timing):
            return gateway_pb2.AskResponse(stage=_timing_message(timing))
        case TextPiece(text):
            return gateway_pb2.AskResponse(token=text)
        case CitationSettled(citation):
            return gateway_pb2.AskResponse(citation=citation_message(citation))
        case UsageKnown(usage):
            return gateway_pb2.AskResponse(usage=usage_message(usage))
        case AnswerReady(answer):
            return gateway_pb2.AskResponse(final=answer_message(answer))


def answer_message(answer: Answer) -> gateway_pb2.AnswerFinal:
    """How an answer ended."""
    return gateway_pb2.AnswerFinal(
        answer_id=answer.answer_id,
        outcome=OUTCOMES[answer.outcome],
        text=answer.text,
        citations=[citation_message(citation) for citation in answer.citations],
        confidence=answer.confidence,
        degraded=answer.degraded,
        timings=[_timing_message(timing) for timing in answer.timings],
        usage=usage_message(answer.usage),
        trace_id=answer.trace_id,
        generator=answer.generator,
        generation=answer.generation,
        plan=plan_message(answer.plan) if answer.plan is not None else None,
        refusal=gateway_pb2.Refusal(reason=answer.refusal.reason, score=answer.refusal.score)
        if answer.refusal
        else None,
        cost=cost_message(answer.cost) if answer.cost is not None else None,
        support=[support_message(each) for each in answer.support],
        abstention_reason=answer.abstention,
        conflicts=[conflict_message(each) for each in answer.conflicts],
    )


def citation_message(citation: Citation) -> gateway_pb2.Citation:
    """A citation."""
    place = citation.place
    return gateway_pb2.Citation(
        number=citation.number,
        document_id=citation.key.document_id,
        chunks_version=citation.key.chunks_version,
        chunk_id=citation.key.chunk_id,
        title=citation.title,
        uri=citation.uri,
        location=common_pb2.Location(
            heading_path=place.heading_path,
            page=place.page,
            span=common_pb2.TextSpan(start=place.span.start, end=place.span.end),
        ),
        quote=citation.quote,
        ingest_trace_id=citation.ingest_trace_id,
        document_updated_at=_timestamp(citation.document_updated_at),
        readable=citation.readable,
    )


def usage_message(usage: Usage) -> gateway_pb2.Usage:
    """Token counts."""
    return gateway_pb2.Usage(
        context_tokens=usage.context_tokens,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


def replay_message(replay: Replay) -> gateway_pb2.GetAnswerResponse:
    """A logged answer."""
    return gateway_pb2.GetAnswerResponse(
        question=replay.question,
        answer=answer_message(replay.answer),
        answered_at=_timestamp(replay.answered_at),
        redacted=replay.redacted,
    )


def key_message(key: CitationKey) -> retrieval_pb2.CitationKey:
    """What a citation points at."""
    return retrieval_pb2.CitationKey(
        document_id=key.document_id, chunks_version=key.chunks_version, chunk_id=key.chunk_id
    )


def _timing_message(timing: Timing) -> common_pb2.StageTiming:
    return common_pb2.StageTiming(stage=timing.stage, milliseconds=timing.milliseconds)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
