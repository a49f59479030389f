"""Nouns of feedback."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.domain import CitationKey, LoggedAnswer, Outcome, Rating

MAX_CORRECTION_CHARACTERS: Final = 8192
MAX_RATED: Final = 5000
"""Rated answers, and unanswered questions, that one report or export looks at, the newest first: some tens of megabytes
while it is made."""


class Reason(StrEnum):
    """What is wrong with an answer."""

    WRONG = "wrong"
    INCOMPLETE = "incomplete"
    OUTDATED = "outdated"
    WRONG_SOURCE = "wrong_source"
    NOT_ANSWERED = "not_answered"
    HARMFUL = "harmful"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the reader of an answer thinks of it.

    Attributes:
        reason: Only beside ``Rating.BAD``, and even there not always.
        corrected: What the answer should have been, in the reader's words; empty for nothing.
        comment: Words to whoever reviews.
    """

    rating: Rating
    given_at: datetime
    reason: Reason | None = None
    corrected: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """What an answer cited, with the title that it had."""

    key: CitationKey
    title: str


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """A logged answer with what its reader thought of it; not who that was.

    Attributes:
        question: As it was searched: a follow-up in its rewritten form.
        sources: In the order of the citations.
    """

    answer_id: str
    question: str
    outcome: Outcome
    sources: tuple[Source, ...]
    answered_at: datetime
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question as it was searched, and when."""

    text: str
    asked_at: datetime


def rated(entry: LoggedAnswer, feedback: Feedback) -> RatedAnswer:
    """What of a logged answer is told to reviewers."""
    answer = entry.answer
    sources = tuple(Source(citation.key, citation.title) for citation in answer.citations)
    return RatedAnswer(answer.answer_id, asked(entry).text, answer.outcome, sources, entry.answered_at, feedback)


def asked(entry: LoggedAnswer) -> AskedQuestion:
    """The question of a logged answer."""
    plan = entry.answer.plan
    return AskedQuestion((plan.rewritten if plan is not None else "") or entry.question, entry.answered_at)
