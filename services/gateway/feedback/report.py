"""What many opinions say together: which documents fail, and what nothing answers. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gateway.domain import CitationKey, Outcome, Rating
from gateway.feedback.domain import AskedQuestion, RatedAnswer, Reason
from gateway.ports import TermAnalyser

PRIOR_VOTES: Final = 4.0
"""Votes at the average rate that every document is taken to have had before its own: one thumb down does not make a
document the worst, eight of ten do."""


@dataclass(frozen=True, slots=True)
class DocumentRating:
    """How a document fared in the answers that cited it.

    Attributes:
        good, bad: Rated answers that cite it; an answer counts once, however often it cites it.
        rate: Smoothed share of bad ones, 0 to 1; see ``rate_documents``.
        reasons: Of the bad ones, the most frequent first.
    """

    document_id: str
    title: str
    good: int
    bad: int
    rate: float
    reasons: tuple[tuple[Reason, int], ...]


@dataclass(frozen=True, slots=True)
class QuestionGroup:
    """Questions with the same words, in whatever order and form; ``question`` is the last of them."""

    question: str
    times: int
    last_asked_at: datetime


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """What reviewers are told.

    Attributes:
        good, bad, reasons: Of all rated answers of the tenant.
        documents: The worst first.
        unanswered: The most frequent first.
        truncated: There were more answers than one report looks at; the oldest were left out.
    """

    good: int
    bad: int
    reasons: tuple[tuple[Reason, int], ...]
    documents: tuple[DocumentRating, ...]
    unanswered: tuple[QuestionGroup, ...]
    truncated: bool


@dataclass(slots=True)
class _Tally:
    title: str
    good: int = 0
    bad: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)


def rate_documents(
    answers: Sequence[RatedAnswer], readable: Collection[CitationKey], most: int
) -> tuple[DocumentRating, ...]:
    """The worst documents that have at least one bad answer.

    The rate is the mean of a beta distribution after the document's votes, its prior being the average of all documents
    counted here: (bad + PRIOR_VOTES · average) / (bad + good + PRIOR_VOTES). What is not in ``readable`` has no part
    in any figure.

    Args:
        answers: The newest first: titles are those of the newest.
        readable: Passages that whoever asks may read.
        most: Documents that are named at most.
    """
    tallies: dict[str, _Tally] = {}
    for answer in answers:
        if answer.outcome is not Outcome.ANSWERED:
            continue  # What a fallback or a question back cites, nobody vouched for.
        cited = {source.key.document_id: source.title for source in answer.sources if source.key in readable}
        for document_id, title in cited.items():
            tally = tallies.setdefault(document_id, _Tally(title))
            if answer.feedback.rating is Rating.GOOD:
                tally.good += 1
                continue
            tally.bad += 1
            if answer.feedback.reason is not None:
                tally.reasons[answer.feedback.reason] += 1
    votes = sum(tally.good + tally.bad for tally in tallies.values())
    average = sum(tally.bad for tally in tallies.values()) / votes if votes else 0.0
    ratings = [
        DocumentRating(
            document_id,
            tally.title,
            tally.good,
            tally.bad,
            (tally.bad + PRIOR_VOTES * average) / (tally.bad + tally.good + PRIOR_VOTES),
            _ranked(tally.reasons),
        )
        for document_id, tally in tallies.items()
        if tally.bad
    ]
    return tuple(sorted(ratings, key=lambda each: (-each.rate, -each.bad, each.document_id))[:most])


def group_questions(questions: Sequence[AskedQuestion], analyse: TermAnalyser, most: int) -> tuple[QuestionGroup, ...]:
    """The questions asked most often, the newest of equals first. A question of stop words only stands for itself."""
    groups: dict[tuple[str, ...], list[AskedQuestion]] = {}
    for question in questions:
        words = tuple(sorted(set(analyse(question.text)))) or (question.text.strip().casefold(),)
        groups.setdefault(words, []).append(question)
    grouped = []
    for members in groups.values():
        last = max(members, key=lambda each: each.asked_at)
        grouped.append(QuestionGroup(last.text, len(members), last.asked_at))
    return tuple(sorted(grouped, key=lambda each: (-each.times, -each.last_asked_at.timestamp()))[:most])


def count_reasons(answers: Sequence[RatedAnswer]) -> tuple[tuple[Reason, int], ...]:
    """Reasons that were given, the most frequent first."""
    return _ranked(Counter(answer.feedback.reason for answer in answers if answer.feedback.reason is not None))


def _ranked(reasons: Counter[Reason]) -> tuple[tuple[Reason, int], ...]:
    return tuple(sorted(reasons.items(), key=lambda each: (-each[1], each[0])))
