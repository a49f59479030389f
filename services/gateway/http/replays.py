"""Routes for replays."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import Field

from gateway.http import bodies
from gateway.http.answers import use_cases_of
from gateway.http.identity import CallerOf
from gateway.record.servicer import made_message

router = APIRouter(prefix="/v1/answers")


class ReplayBody(bodies.Request):
    """What to make again."""

    question: str = Field("", description="As it was sent, where the log does not keep it to the letter.")


class ReplayedStageBody(bodies.Response):
    """What became of one stage."""

    stage: str
    verdict: bodies.Name
    reasons: list[str]


class ReplayedBody(bodies.Response):
    """An answer that was made again, against its record."""

    answer_id: str
    answered_at: datetime
    first_difference: str
    stages: list[ReplayedStageBody]
    deterministic: bool
    notes: list[str]


@router.post("/{answer_id}/replay", summary="Make a logged answer again and say which stages differ")
async def replay_answer(body: ReplayBody, answer_id: str, request: Request, caller: CallerOf) -> ReplayedBody:
    """As ReplayService.ReplayAnswer."""
    made = await use_cases_of(request).replays.replay(answer_id, caller, body.question)
    return ReplayedBody.of(made_message(made))
