"""The ASGI application."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp

from chassis.resilience.admission import AdmissionController
from gateway.http import answers, documents, drift, feedback, openai, privacy, problem, replays, reviews
from gateway.http.guard import Guard, HttpLimits
from gateway.http.identity import HttpIdentity
from gateway.http.models import ProblemBody
from gateway.use_cases import UseCases

_DESCRIPTION: Final = (
    "Cited answers and hybrid search over documents that the caller may read. Errors are problem details (RFC 9457) "
    "with a stable reason; Retry-After says when to come back."
)
_PROBLEM: Final = {"model": ProblemBody, "description": "What is wrong and what to do."}


def build_app(
    use_cases: UseCases, identity: HttpIdentity, limits: HttpLimits, admission: AdmissionController
) -> ASGIApp:
    """The application: no CORS, no documentation pages (they would load scripts from elsewhere), /openapi.json for
    tools."""
    app = FastAPI(
        title="Headwater",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.use_cases = use_cases
    app.state.identity = identity
    for part in (answers, replays, drift, feedback, documents, privacy, reviews, openai):
        app.include_router(part.router)
    problem.install(app)
    return Guard(app, identity, limits, admission)
