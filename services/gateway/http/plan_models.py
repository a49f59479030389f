"""Bodies about the understanding of questions."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gateway.http.bodies import Name, Request, Response, StageBody


class TurnBody(Request):
    """An earlier question of the conversation, and what was answered."""

    question: str
    answer: str = ""


class PlanOptionsBody(Request):
    """What the caller wants of the stages that understand the question."""

    without: list[str] = Field(default_factory=list, description="Names of stages to leave out.")
    apply_suggested_filters: bool = False
    collections: list[str] = Field(default_factory=list, description="The only collections to search; empty: all.")


class RouteBody(Response):
    """Where a question belongs."""

    collections: list[str]
    confidence: float
    applied: bool


class SuggestedFilterBody(Response):
    """A filter that the question's words speak of."""

    filter: dict[str, Any] | None = None
    words: str
    certain: bool
    applied: bool


class MeaningBody(Response):
    """One thing that a question may mean, and the citation that it comes from."""

    label: str
    citation: int


class PlanBody(Response):
    """How a question was understood."""

    question_class: Name
    class_confidence: float
    rewritten_question: str
    route: RouteBody | None = None
    k: int
    searches: list[str]
    suggested_filters: list[SuggestedFilterBody]
    meanings: list[MeaningBody]
    freshness_weight: float
    timings: list[StageBody]
