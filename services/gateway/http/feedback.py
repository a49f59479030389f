"""Routes for feedback."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator, Field

from gateway.domain import Rating
from gateway.feedback.domain import RatedAnswer, Reason
from gateway.feedback.messages import DEFAULT_MOST, report_message, tuning_message
from gateway.feedback.service import Opinion
from gateway.http import bodies
from gateway.http.answers import use_cases_of
from gateway.http.identity import CallerOf

router = APIRouter(prefix="/v1/feedback")

MEDIA_TYPE: Final = "application/x-ndjson"


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None,
    AfterValidator(lambda moment: moment and _with_zone(moment)),
    Query(description="Answers given then or later; UTC unless it says otherwise. Default: all that are kept."),
]


class FeedbackBody(bodies.Request):
    """What a reader thinks of an answer."""

    answer_id: str
    rating: Literal["good", "bad"]
    reason: Reason | None = Field(None, description="Only with a bad rating.")
    corrected: str = Field("", description="What the answer should have been; at most 8,192 characters.")
    comment: str = Field("", description="At most 4,096 characters.")


class ReasonCountBody(bodies.Response):
    """How often a reason was given."""

    reason: bodies.Name
    count: int


class DocumentRatingBody(bodies.Response):
    """How a document fared in the answers that cited it."""

    document_id: str
    title: str
    good: int
    bad: int
    rate: float
    reasons: list[ReasonCountBody]


class QuestionGroupBody(bodies.Response):
    """Unanswered questions with the same words."""

    question: str
    times: int
    last_asked_at: datetime


class FeedbackReportBody(bodies.Response):
    """Worst documents and unanswered questions."""

    good: int
    bad: int
    reasons: list[ReasonCountBody]
    documents: list[DocumentRatingBody]
    unanswered: list[QuestionGroupBody]
    truncated: bool


class CitedBody(bodies.Response):
    """A passage that an answer cited."""

    document_id: str
    chunks_version: int
    chunk_id: str


class TuningBody(bodies.Response):
    """A rated answer."""

    answer_id: str
    question: str
    outcome: bodies.Name
    cited: list[CitedBody]
    rating: bodies.Name
    reason: bodies.Name
    corrected: str
    comment: str
    answered_at: datetime


@router.post("", status_code=204, summary="Say what you think of an answer")
async def give_feedback(body: FeedbackBody, request: Request, caller: CallerOf) -> Response:
    """As FeedbackService.GiveFeedback."""
    opinion = Opinion(Rating(body.rating), body.reason, body.corrected, body.comment)
    await use_cases_of(request).feedback.give(body.answer_id, opinion, caller)
    return Response(status_code=204)


@router.get("/report", summary="Worst documents and unanswered questions; scope review or admin")
async def report_feedback(
    request: Request, caller: CallerOf, since: Since = None, most: int = DEFAULT_MOST
) -> FeedbackReportBody:
    """As FeedbackService.ReportFeedback."""
    report = await use_cases_of(request).feedback.report(since, most, caller)
    return FeedbackReportBody.of(report_message(report))


@router.get(
    "/export",
    summary="Rated answers as JSON Lines; scope review or admin",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": TuningBody.model_json_schema()}}}},
)
async def export_tuning_data(request: Request, caller: CallerOf, since: Since = None) -> Response:
    """As FeedbackService.ExportTuningData."""
    answers = await use_cases_of(request).feedback.export(since, caller)
    rows = await asyncio.to_thread(lambda: "".join(_line(answer) for answer in answers))
    return Response(rows, media_type=MEDIA_TYPE)


def _line(answer: RatedAnswer) -> str:
    row = TuningBody.of(tuning_message(answer)).model_dump(mode="json")
    return json.dumps(row, ensure_ascii=False) + "\n"
