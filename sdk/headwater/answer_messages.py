"""Parts of answers from protobuf."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.gateway.v1 import gateway_pb2
from headwater.support import SentenceSupport, SourceConflict, SupportVerdict
from headwater.types import AnswerOutcome

_OUTCOMES = {
    gateway_pb2.ANSWER_OUTCOME_ANSWERED: AnswerOutcome.ANSWERED,
    gateway_pb2.ANSWER_OUTCOME_ABSTAINED: AnswerOutcome.ABSTAINED,
    gateway_pb2.ANSWER_OUTCOME_FALLBACK: AnswerOutcome.FALLBACK,
    gateway_pb2.ANSWER_OUTCOME_NOT_SEARCHED: AnswerOutcome.NOT_SEARCHED,
    gateway_pb2.ANSWER_OUTCOME_CLARIFICATION: AnswerOutcome.CLARIFICATION,
    gateway_pb2.ANSWER_OUTCOME_REFUSED: AnswerOutcome.REFUSED,
}
_VERDICTS = {
    gateway_pb2.SUPPORT_VERDICT_SUPPORTED: SupportVerdict.SUPPORTED,
    gateway_pb2.SUPPORT_VERDICT_WEAK: SupportVerdict.WEAK,
}


def outcome(value: gateway_pb2.AnswerOutcome.ValueType) -> AnswerOutcome:
    """How a question ended; FALLBACK for a way that this version does not know."""
    return _OUTCOMES.get(value, AnswerOutcome.FALLBACK)


def support(messages: Iterable[gateway_pb2.SentenceSupport]) -> tuple[SentenceSupport, ...]:
    """Support of sentences; a verdict that this version does not know is none to rely on."""
    return tuple(
        SentenceSupport(
            each.span.start,
            each.span.end,
            tuple(each.citations),
            _VERDICTS.get(each.verdict, SupportVerdict.UNSUPPORTED),
            each.score,
            each.reason,
        )
        for each in messages
    )


def conflicts(messages: Iterable[gateway_pb2.SourceConflict]) -> tuple[SourceConflict, ...]:
    """Sources that disagree."""
    return tuple(SourceConflict(each.citation, each.other_citation, each.kind) for each in messages)
