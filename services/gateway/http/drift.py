"""Routes for drift."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request

from gateway.http import bodies
from gateway.http.answers import use_cases_of
from gateway.http.identity import CallerOf

router = APIRouter(prefix="/v1/drift")


class SignalBody(bodies.Response):
    """One signal against its reference."""

    signal: str
    index: float | None = None
    chance: float
    reference: float
    now: float
    values: int
    state: bodies.Name


class DriftBody(bodies.Response):
    """Every signal over the last answers of this gateway."""

    taken_at: datetime | None = None
    reference_answers: int
    window_answers: int
    window: int
    signals: list[SignalBody]


@router.get("", summary="Whether questions and answers are still what they were; scope admin")
async def get_drift(request: Request, caller: CallerOf) -> DriftBody:
    """As DriftService.GetDrift."""
    return DriftBody.of(use_cases_of(request).drift.report(caller))


@router.post("/reference", summary="Make the last answers the reference; scope admin")
async def take_drift_reference(request: Request, caller: CallerOf) -> DriftBody:
    """As DriftService.TakeDriftReference."""
    return DriftBody.of(await use_cases_of(request).drift.take(caller))
