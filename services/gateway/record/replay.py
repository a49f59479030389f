"""The use case of making a logged answer again."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from chassis.errors import FailedPrecondition, InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from gateway.course import Course
from gateway.domain import Answer, CitationKey, Draft, LoggedAnswer, Question
from gateway.plan import Plan
from gateway.ports import AnswerLog, Retrieval
from gateway.rates import RateLimits, Spending
from gateway.record.compare import StageResult, StageVerdict, compared
from gateway.record.domain import AnswerRecord
from gateway.record.making import Recorder, access_digest, digest, plan_digests
from gateway.service import AnswerQuestions

OTHER_ACCESS: Final = "made again with other access rights than the answer was given with"
KEPT_PLAN: Final = "after understanding, stages ran on the recorded plan"
NEW_PLAN: Final = "the recorded plan is not kept in words: stages ran on the one that was made now"


@dataclass(frozen=True, slots=True)
class MadeAgain:
    """An answer that was made again, against its record.

    Attributes:
        stages: In the order in which they ran.
        first: The first stage that differs; empty when none does.
        deterministic: Whether the generator says the same to the same.
        notes: What the comparison rests on, for people.
    """

    answer_id: str
    answered_at: datetime
    stages: tuple[StageResult, ...]
    first: str
    deterministic: bool
    notes: tuple[str, ...] = ()


class MakeAgain:
    """Runs logged answers again and compares the stages.

    It reads and writes no cache and logs nothing; what it costs is its caller's. Nothing of a text leaves it.

    Args:
        understood: Back from what the recorder's ``described`` gives.
        deterministic: Whether the configured generator says the same to the same.
    """

    def __init__(
        self,
        questions: AnswerQuestions,
        log: AnswerLog,
        retrieval: Retrieval,
        rates: RateLimits,
        recorder: Recorder,
        understood: Callable[[bytes], object],
        *,
        deterministic: bool,
    ) -> None:
        self._questions = questions
        self._log = log
        self._retrieval = retrieval
        self._rates = rates
        self._recorder = recorder
        self._understood = understood
        self._deterministic = deterministic

    async def replay(self, answer_id: str, caller: Caller, question: str = "") -> MadeAgain:
        """The answer made again as this caller, who gave the question or, with the scope review or admin, may look
        into those of his tenant.

        Args:
            question: As it was sent, where the log does not keep it.

        Raises NotFound UNKNOWN_ANSWER; FailedPrecondition NOT_RECORDED, QUESTION_NOT_KEPT, WISHES_NOT_KEPT;
        InvalidRequest OTHER_QUESTION; and as ``AnswerQuestions.ask``.
        """
        caller.require(Scope.READ)
        self._rates.spend(Spending.ASK, caller)
        entry, record = await self._recorded(answer_id, caller)
        course = Course(_question(entry, record, question, self._understood), caller, record.asked_at)
        plan = _kept_plan(entry, record)
        draft = await self._questions.again(course, plan)
        after = self._recorder.record(course, _answer(entry.answer, course, draft))
        readable = await self._readable(record, after, caller)
        stages = tuple(compared(record, after, readable, deterministic=self._deterministic))
        first = next((each.stage for each in stages if each.verdict is StageVerdict.DIFFERS), "")
        notes = _notes(record, after, plan, caller, answer_id)
        return MadeAgain(answer_id, entry.answered_at, stages, first, self._deterministic, notes)

    async def _recorded(self, answer_id: str, caller: Caller) -> tuple[LoggedAnswer, AnswerRecord]:
        reviews = bool({Scope.REVIEW, Scope.ADMIN} & caller.scopes)
        entry = await self._log.find(answer_id, caller.tenant_id, None if reviews else caller.subject)
        if entry is None:
            raise NotFound("There is no such answer of yours.", reason="UNKNOWN_ANSWER")
        if entry.record is None:
            raise FailedPrecondition(
                "What this answer was made of was not recorded. Ask again: answers are recorded where answer_record "
                "is on.",
                reason="NOT_RECORDED",
            )
        return entry, entry.record

    async def _readable(self, before: AnswerRecord, after: AnswerRecord, caller: Caller) -> frozenset[str]:
        """Chunks of the record that are no candidates now, and may be read."""
        found = {each.chunk_id for each in after.candidates}
        gone = [each for each in before.candidates if each.chunk_id not in found]
        keys = [CitationKey(each.document_id, each.chunks_version, each.chunk_id) for each in gone]
        readable = await self._retrieval.readable(keys, caller) if keys else ()
        return frozenset(key.chunk_id for key, may in zip(keys, readable, strict=True) if may)


def _question(entry: LoggedAnswer, record: AnswerRecord, given: str, understood: Callable[[bytes], object]) -> Question:
    """The question as it was sent. Raises as ``MakeAgain.replay``."""
    text = given or entry.question
    if digest(entry.answer.answer_id, text) != record.question:
        if given:
            raise InvalidRequest("That is not the question of this answer.", reason="OTHER_QUESTION")
        raise FailedPrecondition(
            "The log does not keep this question to the letter: send it along (headwater replay ID --question …).",
            reason="QUESTION_NOT_KEPT",
        )
    if record.wished and not record.wishes:
        raise FailedPrecondition(
            "The log does not keep the filter and options that this question was searched with, so it can't be made "
            "again.",
            reason="WISHES_NOT_KEPT",
        )
    retrieval = understood(base64.b64decode(record.wishes)) if record.wishes else None
    return Question(text, record.context_tokens, retrieval, options=record.options)


def _kept_plan(entry: LoggedAnswer, record: AnswerRecord) -> Plan | None:
    """The recorded plan, where the log keeps it to the letter."""
    plan = entry.answer.plan
    if plan is None or plan_digests(entry.answer.answer_id, plan) != record.plan:
        return None
    return replace(plan, meanings=(), timings=())


def _answer(logged: Answer, course: Course, draft: Draft) -> Answer:
    """What would have been logged, under the id of the first: digests of two ids can't be compared."""
    return Answer(
        logged.answer_id,
        draft.outcome,
        draft.text,
        draft.citations,
        draft.confidence,
        generator=draft.generator,
        generation=course.retrieved.generation,
        refusal=course.refusal,
        support=draft.support,
    )


def _notes(
    before: AnswerRecord, after: AnswerRecord, plan: Plan | None, caller: Caller, answer_id: str
) -> tuple[str, ...]:
    notes = []
    if access_digest(answer_id, caller) != before.access:
        notes.append(OTHER_ACCESS)
    if before.plan and (before.plan != after.plan or before.turns):
        notes.append(KEPT_PLAN if plan is not None else NEW_PLAN)
    return tuple(notes)
