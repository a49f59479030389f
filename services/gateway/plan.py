"""Nouns of understanding a question: what is sent along with it, and the plan that every stage refines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_TURNS: Final = 20
MAX_TURN_CHARACTERS: Final = 32_768

STAGES: Final = ("rewrite", "classify", "filters", "route", "decompose", "depth", "expand", "clarify")
"""Names of the stages, in their order."""


class QuestionClass(StrEnum):
    """What kind of question it is; see the proto."""

    SMALL_TALK = "small_talk"
    OUT_OF_SCOPE = "out_of_scope"
    LOOKUP = "lookup"
    HOW_TO = "how_to"
    COMPARISON = "comparison"
    MULTI_HOP = "multi_hop"
    AMBIGUOUS = "ambiguous"
    TIME_SENSITIVE = "time_sensitive"

    @property
    def searched(self) -> bool:
        """Whether such a question is looked for in documents."""
        return self not in (QuestionClass.SMALL_TALK, QuestionClass.OUT_OF_SCOPE)


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question of the conversation, and its answer where the caller sent it."""

    question: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the caller wants of the stages.

    Attributes:
        without: Names of stages to leave out.
        apply_filters: Whether every suggested filter is applied, not only those that are certain.
        collections: Names of the only collections to search; empty for all.
    """

    without: frozenset[str] = frozenset()
    apply_filters: bool = False
    collections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchHints:
    """How a question is searched for where its caller did not say.

    Attributes:
        k: Passages; 0 for the setting.
        filter: In the filter language; holds together with the caller's own.
        freshness_weight: Share of a passage's score that ages; 0 for the setting.
    """

    k: int = 0
    filter: Mapping[str, object] | None = None
    freshness_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """``field operator value`` in the filter language."""

    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class SuggestedFilter:
    """A filter that the question's words speak of. All of its conditions hold together.

    Attributes:
        words: The words of the question.
        certain: The question names the field, or says "only", with a declared value.
        applied: Nothing else is searched.
    """

    conditions: tuple[Condition, ...]
    words: str
    certain: bool
    applied: bool = False

    def as_filter(self) -> dict[str, object]:
        """The same in the filter language."""
        fields: dict[str, dict[str, str]] = {}
        for condition in self.conditions:
            fields.setdefault(condition.field, {})[condition.operator] = condition.value
        return dict(fields)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a question belongs: names of collections, best first, and the document types that they stand for."""

    collections: tuple[str, ...]
    doc_types: tuple[str, ...]
    confidence: float
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """One thing that a question may mean, and the number of the citation that it comes from."""

    label: str
    citation: int


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage took."""

    stage: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How a question is understood. Every stage gets one and returns a refined one.

    Attributes:
        asked: The question as it was sent.
        text: The question as it stands alone: what is searched for and answered.
        reply: The whole answer of a question that is not searched for.
        k: Passages to search for; 0 for the setting.
        searches: What is searched for besides ``text``; made of the question's own words only.
        expand: Whether terms of the first passages are searched for as well.
        freshness_weight: Share of a passage's score that ages; 0 for the setting.
        meanings: What the question may mean; each stands on a citation, and goes where that may not be read.
        degraded: Stages that could not be made as configured.
    """

    asked: str
    text: str
    question_class: QuestionClass = QuestionClass.LOOKUP
    class_confidence: float = 0.0
    reply: str = ""
    route: Route | None = None
    k: int = 0
    searches: tuple[str, ...] = ()
    filters: tuple[SuggestedFilter, ...] = ()
    expand: bool = False
    freshness_weight: float = 0.0
    meanings: tuple[Meaning, ...] = ()
    timings: tuple[StageTime, ...] = ()
    degraded: tuple[str, ...] = ()

    @property
    def rewritten(self) -> str:
        """The question as it stands alone, empty when it did as it was asked."""
        return "" if self.text == self.asked else self.text

    def hints(self) -> SearchHints:
        """How it is searched for."""
        filters: list[dict[str, object]] = [each.as_filter() for each in self.filters if each.applied]
        if self.route is not None and self.route.applied:
            filters.append({"doc_type": {"$in": list(self.route.doc_types)}})
        merged = {"$and": filters} if len(filters) > 1 else (filters[0] if filters else None)
        return SearchHints(self.k, merged, self.freshness_weight)
