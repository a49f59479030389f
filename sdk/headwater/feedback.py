"""What readers think of answers. Giving feedback needs nothing but the own answer; report and export need the scope
review or admin, and see the caller's tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from headwater import channel, messages
from headwater.errors import from_rpc_error
from headwater.gateway.v1 import feedback_pb2, feedback_pb2_grpc, gateway_pb2

REASONS: Final = ("wrong", "incomplete", "outdated", "wrong_source", "not_answered", "harmful", "other")
REPORT_SECONDS: Final = 60.0

_Call = Callable[[Any, Any, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class DocumentRating:
    """How a document fared in the rated answers that cited it. ``rate`` is the smoothed share of bad ones, 0 to 1;
    ``reasons`` are those of the bad ones, the most frequent first."""

    document_id: str
    title: str
    good: int
    bad: int
    rate: float
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class QuestionGroup:
    """Unanswered questions with the same words; ``question`` is the last of them."""

    question: str
    times: int
    last_asked_at: datetime


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """What the feedback of a tenant says together: the worst documents and the most frequent unanswered questions
    first. ``truncated``: there were more answers than a report looks at; the oldest were left out."""

    good: int
    bad: int
    reasons: Mapping[str, int]
    documents: Sequence[DocumentRating]
    unanswered: Sequence[QuestionGroup]
    truncated: bool


@dataclass(frozen=True, slots=True)
class CitedChunk:
    """What an answer cited."""

    document_id: str
    chunks_version: int
    chunk_id: str


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """A question, what its answer cited, and what its reader thought of it: ``label`` is "good" or "bad", ``reason``
    one of ``REASONS`` or empty."""

    answer_id: str
    question: str
    outcome: str
    cited: Sequence[CitedChunk]
    label: str
    reason: str
    corrected: str
    comment: str
    answered_at: datetime


class Feedback:
    """Calls of an ``AsyncClient``."""

    def __init__(self, opened: grpc.aio.Channel, metadata: Any, read: _Call, write: _Call) -> None:
        self._stub: feedback_pb2_grpc.FeedbackServiceAsyncStub = feedback_pb2_grpc.FeedbackServiceStub(opened)
        self._metadata = metadata
        self._read = read
        self._write = write

    async def give(
        self, answer_id: str, *, good: bool, reason: str = "", corrected: str = "", comment: str = ""
    ) -> None:
        """Says what you think of an answer of yours; a later call replaces an earlier one. ``reason`` is one of
        ``REASONS``, for bad answers only. Raises NotFoundError, InvalidRequestError."""
        if reason and reason not in REASONS:
            raise ValueError(f"A reason is one of {', '.join(REASONS)}.")
        request = feedback_pb2.GiveFeedbackRequest(
            answer_id=answer_id,
            rating=gateway_pb2.RATING_GOOD if good else gateway_pb2.RATING_BAD,
            reason=feedback_pb2.FeedbackReason.Value(f"FEEDBACK_REASON_{reason.upper() or 'UNSPECIFIED'}"),
            corrected=corrected,
            comment=comment,
        )
        await self._write(self._stub.GiveFeedback, request, channel.READ_SECONDS)

    async def report(self, *, since: datetime | None = None, most: int = 20) -> FeedbackReport:
        """Worst documents and unanswered questions, ``most`` (1 to 100) of each, over answers given at ``since`` or
        later. Raises PermissionDeniedError."""
        request = feedback_pb2.ReportFeedbackRequest(since=_timestamp(since), most=most)
        return _report(await self._read(self._stub.ReportFeedback, request, REPORT_SECONDS))

    async def export(self, *, since: datetime | None = None) -> AsyncIterator[RatedAnswer]:
        """Rated answers whose every source you may read, the newest first. Raises PermissionDeniedError."""
        request = feedback_pb2.ExportTuningDataRequest(since=_timestamp(since))
        call = self._stub.ExportTuningData(request, timeout=REPORT_SECONDS, metadata=self._metadata)
        try:
            async for reply in call:
                yield _rated(reply)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()


def _report(message: feedback_pb2.ReportFeedbackResponse) -> FeedbackReport:
    documents = [
        DocumentRating(each.document_id, each.title, each.good, each.bad, each.rate, _counts(each.reasons))
        for each in message.documents
    ]
    unanswered = [
        QuestionGroup(each.question, each.times, messages.moment(each.last_asked_at)) for each in message.unanswered
    ]
    return FeedbackReport(message.good, message.bad, _counts(message.reasons), documents, unanswered, message.truncated)


def _rated(message: feedback_pb2.ExportTuningDataResponse) -> RatedAnswer:
    return RatedAnswer(
        answer_id=message.answer_id,
        question=message.question,
        outcome=_name(gateway_pb2.AnswerOutcome.Name(message.outcome), "ANSWER_OUTCOME_"),
        cited=[CitedChunk(key.document_id, key.chunks_version, key.chunk_id) for key in message.cited],
        label=_name(gateway_pb2.Rating.Name(message.rating), "RATING_"),
        reason=_name(feedback_pb2.FeedbackReason.Name(message.reason), "FEEDBACK_REASON_"),
        corrected=message.corrected,
        comment=message.comment,
        answered_at=messages.moment(message.answered_at),
    )


def _counts(counts: Sequence[feedback_pb2.ReasonCount]) -> dict[str, int]:
    return {_name(feedback_pb2.FeedbackReason.Name(each.reason), "FEEDBACK_REASON_"): each.count for each in counts}


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _name(name: str, prefix: str) -> str:
    text = name.removeprefix(prefix).lower()
    return "" if text == "unspecified" else text
