"""Use cases: give feedback, report it, export it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from chassis.clock import Clock
from chassis.errors import InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from chassis.telemetry import metrics
from corpus.privacy.redact import redact
from gateway.domain import CitationKey, Rating
from gateway.feedback.domain import MAX_CORRECTION_CHARACTERS, MAX_RATED, AskedQuestion, Feedback, RatedAnswer, Reason
from gateway.feedback.ports import FeedbackStore
from gateway.feedback.report import FeedbackReport, count_reasons, group_questions, rate_documents
from gateway.ports import AnswerLog, Retrieval, TermAnalyser
from gateway.rates import RateLimits, Spending
from gateway.stages.validate import check_comment

MAX_NAMED: Final = 100
"""Documents, and groups of questions, that a report names at most."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a reader says of an answer, before it is stored; see ``Feedback``."""

    rating: Rating
    reason: Reason | None = None
    corrected: str = ""
    comment: str = ""


class AnswerFeedback:
    """Feedback of readers, and what reviewers of their tenant learn from it.

    Args:
        log: Where the answers are.
        store: Where feedback is.
        retrieval: Knows what a reviewer may read.
        clock: Tells when feedback was given.
        rates: Counts reads.
        analyse: Terms that tell which questions are the same.
        mask: Whether personal data gives way to placeholders in what is stored, and in what leaves.
    """

    def __init__(
        self,
        log: AnswerLog,
        store: FeedbackStore,
        retrieval: Retrieval,
        clock: Clock,
        rates: RateLimits,
        analyse: TermAnalyser,
        *,
        mask: bool,
    ) -> None:
        self._log = log
        self._store = store
        self._retrieval = retrieval
        self._clock = clock
        self._rates = rates
        self._analyse = analyse
        self._mask = mask

    async def give(self, answer_id: str, opinion: Opinion, caller: Caller) -> None:
        """Notes what the caller thinks of his answer, in place of what he thought before.

        Raises InvalidRequest, and NotFound, also for an answer that was given to somebody else.
        """
        caller.require(Scope.READ)
        _check(opinion)
        self._rates.spend(Spending.READ, caller)
        if await self._log.find(answer_id, caller.tenant_id, caller.subject) is None:
            raise _unknown()
        corrected, comment = await asyncio.to_thread(
            lambda: (self._masked(opinion.corrected), self._masked(opinion.comment))
        )
        feedback = Feedback(opinion.rating, self._clock.now(), opinion.reason, corrected, comment)
        if not await self._store.give(answer_id, feedback):
            raise _unknown()
        reason = opinion.reason.value if opinion.reason is not None else "none"
        metrics.GATEWAY_FEEDBACK.add(rating=opinion.rating.value, reason=reason)

    async def report(self, since: datetime | None, most: int, caller: Caller) -> FeedbackReport:
        """Worst documents and unanswered questions of the caller's tenant, at most ``most`` (1 to 100) of each.
        Documents that the caller may not read have no part in it.

        Raises InvalidRequest, PermissionDenied; fails closed when readability can't be known.
        """
        _require_reviewer(caller)
        if not 1 <= most <= MAX_NAMED:
            raise InvalidRequest(
                f"most must be 1 to {MAX_NAMED}.", reason="INVALID_MOST", metadata={"maximum": str(MAX_NAMED)}
            )
        self._rates.spend(Spending.READ, caller)
        answers, more = await self._rated(since, caller)
        questions = await self._store.unanswered(caller.tenant_id, since, MAX_RATED + 1)
        readable = await self._readable(answers, caller)
        truncated = more or len(questions) > MAX_RATED
        return await asyncio.to_thread(self._reported, answers, questions[:MAX_RATED], readable, most, truncated)

    async def export(self, since: datetime | None, caller: Caller) -> Sequence[RatedAnswer]:
        """The newest 5,000 rated answers of the caller's tenant whose every source he may read, the newest first.
        Raises as ``report``."""
        _require_reviewer(caller)
        self._rates.spend(Spending.READ, caller)
        answers, _ = await self._rated(since, caller)
        readable = await self._readable(answers, caller)
        kept = [answer for answer in answers if all(source.key in readable for source in answer.sources)]
        return await asyncio.to_thread(lambda: [self._masked_answer(answer) for answer in kept])

    async def _rated(self, since: datetime | None, caller: Caller) -> tuple[Sequence[RatedAnswer], bool]:
        answers = await self._store.rated(caller.tenant_id, since, MAX_RATED + 1)
        return answers[:MAX_RATED], len(answers) > MAX_RATED

    async def _readable(self, answers: Sequence[RatedAnswer], caller: Caller) -> frozenset[CitationKey]:
        keys = list(dict.fromkeys(source.key for answer in answers for source in answer.sources))
        if not keys:
            return frozenset()
        readable = await self._retrieval.readable(keys, caller)
        return frozenset(key for key, may in zip(keys, readable, strict=True) if may)

    def _reported(
        self,
        answers: Sequence[RatedAnswer],
        questions: Sequence[AskedQuestion],
        readable: Collection[CitationKey],
        most: int,
        truncated: bool,
    ) -> FeedbackReport:
        # Where the log keeps no words, nobody can tell which questions are the same.
        groups = group_questions([each for each in questions if each.text], self._analyse, most)
        good = sum(answer.feedback.rating is Rating.GOOD for answer in answers)
        return FeedbackReport(
            good,
            len(answers) - good,
            count_reasons(answers),
            rate_documents(answers, readable, most),
            tuple(replace(group, question=self._masked(group.question)) for group in groups),
            truncated,
        )

    def _masked_answer(self, answer: RatedAnswer) -> RatedAnswer:
        # Again, though it was masked when it was stored: the policy may be younger than the record.
        feedback = replace(
            answer.feedback,
            corrected=self._masked(answer.feedback.corrected),
            comment=self._masked(answer.feedback.comment),
        )
        return replace(answer, question=self._masked(answer.question), feedback=feedback)

    def _masked(self, text: str) -> str:
        return redact(text).text if self._mask and text else text


def _check(opinion: Opinion) -> None:
    if opinion.reason is not None and opinion.rating is Rating.GOOD:
        raise InvalidRequest("A reason says what is wrong: leave it out with a good rating.", reason="REASON_WITH_GOOD")
    check_comment(opinion.comment)
    if len(opinion.corrected) > MAX_CORRECTION_CHARACTERS:
        raise InvalidRequest(
            f"The corrected answer is longer than {MAX_CORRECTION_CHARACTERS:,} characters: shorten it.",
            reason="CORRECTION_TOO_LONG",
            metadata={"limit": str(MAX_CORRECTION_CHARACTERS)},
        )


def _require_reviewer(caller: Caller) -> None:
    if Scope.ADMIN not in caller.scopes:
        caller.require(Scope.REVIEW)


def _unknown() -> NotFound:
    return NotFound("There is no such answer of yours.", reason="UNKNOWN_ANSWER")
