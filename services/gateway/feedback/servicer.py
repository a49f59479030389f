"""gRPC edge of feedback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from chassis.identity import current_caller
from chassis.rpc.deadlines import budget
from gateway.feedback.messages import DEFAULT_MOST, opinion_of, report_message, since_of, tuning_message
from gateway.feedback.service import AnswerFeedback
from headwater.gateway.v1 import feedback_pb2, feedback_pb2_grpc

Context = Any


class FeedbackServicer(feedback_pb2_grpc.FeedbackServiceServicer):
    """Translates requests and replies; decides nothing. Each method is described in the proto."""

    def __init__(self, feedback: AnswerFeedback, *, seconds: float) -> None:
        self._feedback = feedback
        self._seconds = seconds

    async def GiveFeedback(
        self, request: feedback_pb2.GiveFeedbackRequest, context: Context
    ) -> feedback_pb2.GiveFeedbackResponse:
        """See the proto."""
        await self._feedback.give(request.answer_id, opinion_of(request), current_caller())
        return feedback_pb2.GiveFeedbackResponse()

    async def ReportFeedback(
        self, request: feedback_pb2.ReportFeedbackRequest, context: Context
    ) -> feedback_pb2.ReportFeedbackResponse:
        """See the proto."""
        async with budget(self._seconds):
            report = await self._feedback.report(since_of(request), request.most or DEFAULT_MOST, current_caller())
        return report_message(report)

    async def ExportTuningData(
        self, request: feedback_pb2.ExportTuningDataRequest, context: Context
    ) -> AsyncIterator[feedback_pb2.ExportTuningDataResponse]:
        """See the proto."""
        async with budget(self._seconds):
            answers = await self._feedback.export(since_of(request), current_caller())
        for answer in answers:
            yield tuning_message(answer)
