"""Feedback between domain and protobuf."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidRequest
from gateway.adapters.messages import OUTCOMES, key_message, rating_of
from gateway.domain import Rating
from gateway.feedback.domain import RatedAnswer, Reason
from gateway.feedback.report import FeedbackReport
from gateway.feedback.service import Opinion
from headwater.gateway.v1 import feedback_pb2, gateway_pb2

DEFAULT_MOST = 20

_REASONS = {reason: feedback_pb2.FeedbackReason.Value(f"FEEDBACK_REASON_{reason.name}") for reason in Reason}
_REASONS_BY_NUMBER = {number: reason for reason, number in _REASONS.items()}
_RATINGS = {Rating.GOOD: gateway_pb2.RATING_GOOD, Rating.BAD: gateway_pb2.RATING_BAD}


def opinion_of(request: feedback_pb2.GiveFeedbackRequest) -> Opinion:
    """What was said. Raises InvalidRequest without a rating, and for a reason that is not known."""
    rating = required_rating(request.rating)
    reason = _REASONS_BY_NUMBER.get(request.reason)
    if reason is None and request.reason:
        raise InvalidRequest("There is no such reason.", reason="UNKNOWN_REASON")
    return Opinion(rating, reason, request.corrected, request.comment)


def required_rating(value: gateway_pb2.Rating.ValueType) -> Rating:
    """The rating. Raises InvalidRequest RATING_MISSING."""
    rating = rating_of(value)
    if rating is None:
        raise InvalidRequest("A rating is good or bad.", reason="RATING_MISSING")
    return rating


def since_of(request: feedback_pb2.ReportFeedbackRequest | feedback_pb2.ExportTuningDataRequest) -> datetime | None:
    """From when on; None for everything. Raises InvalidRequest INVALID_SINCE."""
    if not request.HasField("since"):
        return None
    try:
        return request.since.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest("since is no time.", reason="INVALID_SINCE") from None


def report_message(report: FeedbackReport) -> feedback_pb2.ReportFeedbackResponse:
    """A report as it is sent."""
    return feedback_pb2.ReportFeedbackResponse(
        good=report.good,
        bad=report.bad,
        reasons=_reason_counts(report.reasons),
        documents=[
            feedback_pb2.DocumentRating(
                document_id=each.document_id,
                title=each.title,
                good=each.good,
                bad=each.bad,
                rate=each.rate,
                reasons=_reason_counts(each.reasons),
            )
            for each in report.documents
        ],
        unanswered=[
            feedback_pb2.QuestionGroup(
                question=each.question, times=each.times, last_asked_at=_timestamp(each.last_asked_at)
            )
            for each in report.unanswered
        ],
        truncated=report.truncated,
    )


def tuning_message(answer: RatedAnswer) -> feedback_pb2.ExportTuningDataResponse:
    """A row of tuning data as it is sent."""
    feedback = answer.feedback
    return feedback_pb2.ExportTuningDataResponse(
        answer_id=answer.answer_id,
        question=answer.question,
        outcome=OUTCOMES[answer.outcome],
        cited=[key_message(source.key) for source in answer.sources],
        rating=_RATINGS[feedback.rating],
        reason=_REASONS[feedback.reason] if feedback.reason is not None else feedback_pb2.FEEDBACK_REASON_UNSPECIFIED,
        corrected=feedback.corrected,
        comment=feedback.comment,
        answered_at=_timestamp(answer.answered_at),
    )


def _reason_counts(reasons: Sequence[tuple[Reason, int]]) -> list[feedback_pb2.ReasonCount]:
    return [feedback_pb2.ReasonCount(reason=_REASONS[reason], count=count) for reason, count in reasons]


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
