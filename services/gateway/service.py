"""Use cases: answer a question, answer many, replay a logged answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final, TypeVar

from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, Defect, DependencyUnavailable, HeadwaterError, Overloaded
from chassis.identity import Caller, Scope
from chassis.telemetry import current_trace_id
from gateway import observe
from gateway.costs.accounting import UNRECORDED, CostAccounting
from gateway.costs.metered import MeteredRetrieval
from gateway.course import Course, untold
from gateway.domain import (
    ABSTENTION_TEXT,
    REFUSED_TEXT,
    Answer,
    AnswerEvent,
    AnswerReady,
    CitationSettled,
    Draft,
    Outcome,
    Question,
    Retrieved,
    StageFinished,
    TextPiece,
    UsageKnown,
)
from gateway.drift.watch import DriftWatch
from gateway.plan import Plan
from gateway.policy import AnswerPolicy as AnswerPolicy
from gateway.ports import AnswerLog, GenerationRequest, Generator, Retrieval, TokenCounter, UnderstandingRequest
from gateway.rates import RateLimits, Spending
from gateway.record.making import Recorder
from gateway.stages.cache.answers import AnswerCache
from gateway.stages.context import select_context
from gateway.stages.guard.rails import Guardrails
from gateway.stages.guard.retrieved import REMOVED, neutralise
from gateway.stages.mask import masked_entry, unrevealed
from gateway.stages.recheck import recheck_draft
from gateway.stages.understand.planner import Planner, not_searched
from gateway.stages.validate import check_batch_size, check_question
from gateway.stages.verify.stage import Verifier
from gateway.support import AbstentionReason

UNLOGGED: Final = "answer_log"
"""Name in ``degraded`` for an answer that could not be logged, and so can't be replayed."""

NO_GUARDRAILS: Final = Guardrails(sources=False)

_Done = TypeVar("_Done")


class AnswerQuestions:
    """Answers from passages the caller may read: retrieve → choose context → generate → check citations → log."""

    def __init__(
        self,
        retrieval: Retrieval,
        generator: Generator,
        log: AnswerLog,
        tokens: TokenCounter,
        clock: Clock,
        policy: AnswerPolicy,
        rates: RateLimits,
        planner: Planner | None = None,
        *,
        guardrails: Guardrails = NO_GUARDRAILS,
        costs: CostAccounting | None = None,
        verifier: Verifier | None = None,
        cache: AnswerCache | None = None,
        recorder: Recorder | None = None,
        watch: DriftWatch | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._planner = planner or Planner()
        self._retrieval = MeteredRetrieval(retrieval, tokens)
        self._costs = costs
        self._generator = generator
        self._log = log
        self._tokens = tokens
        self._clock = clock
        self._policy = policy
        self._rates = rates
        self._guardrails = guardrails
        self._verifier = verifier if verifier is not None and verifier.active else None
        self._cache = cache
        self._recorder = recorder or Recorder()
        self._watch = watch
        self._new_id = new_id

    async def ask(self, question: Question, caller: Caller) -> AsyncGenerator[AnswerEvent, None]:
        """Events as they happen; the last one is AnswerReady, and its answer is logged by then.

        Iterate it inside ``aclosing``, so that work stops when the reader leaves. Raises InvalidRequest, and what
        retrieval raises.
        """
        check_question(question)
        caller.require(Scope.READ)
        self._rates.spend(Spending.ASK, caller)
        course = Course(question, caller, self._clock.now())
        observe.streams(+1)
        try:
            async with aclosing(self._prepare(course)) as stages:
                async for stage in stages:
                    yield stage
            if self._cache is not None and course.is_open:
                yield await self._look_up(course, self._cache)
            if course.refusal is None and course.draft is None:
                yield await self._retrieve(course)
            async with aclosing(self._answer(course)) as events:
                async for event in events:
                    yield event
        except HeadwaterError:
            observe.failed()
            raise
        finally:
            observe.streams(-1)
            await self._settle_cost(course)

    async def ask_batch(self, questions: Sequence[Question], caller: Caller) -> Sequence[Answer]:
        """Answers in the order of the questions, each as ``ask`` would end; retrieval is one call for all of them."""
        check_batch_size(questions)
        for question in questions:
            check_question(question)
        caller.require(Scope.READ)
        self._rates.spend(Spending.ASK, caller, len(questions))
        courses = [Course(question, caller, self._clock.now()) for question in questions]
        try:
            return await self._answer_all(courses, caller)
        except HeadwaterError:
            observe.failed()
            raise
        finally:
            for course in courses:
                await self._settle_cost(course)

    async def again(self, course: Course, plan: Plan | None = None) -> Draft:
        """The answer once more, without limits, cache and log; what each stage made is left in ``course``. A question
        that is searched for follows ``plan`` where that is given. Raises as ``ask``."""
        try:
            await self._prepare_fully(course)
            if course.is_open:
                course.made, course.plan = course.plan, plan or course.plan
                await self._retrieve(course)
            async with aclosing(self._generate(course)) as events:
                async for _ in events:
                    pass
            if self._verifier is not None and course.draft is not None and course.blocks:
                await self._verify(self._verifier, course, course.draft)
            draft = await self._recheck(course)
            return replace(draft, generator=draft.generator or self._generator.name)
        finally:
            await self._settle_cost(course)

    async def _answer_all(self, courses: Sequence[Course], caller: Caller) -> Sequence[Answer]:
        await self._side_by_side(self._prepare_fully, courses)
        if self._cache is not None:
            cache = self._cache
            await asyncio.gather(*(self._look_up(course, cache) for course in courses if course.is_open))
        waiting = [course for course in courses if course.refusal is None and not course.cached]
        await self._retrieve_all(waiting, caller)
        return await self._side_by_side(self._finish, courses)

    async def _side_by_side(self, step: Callable[[Course], Awaitable[_Done]], courses: Sequence[Course]) -> list[_Done]:
        """One step of a batch for each of its questions, a few at a time; the first error ends it."""
        permits = asyncio.Semaphore(self._policy.batch_concurrency)

        async def done(course: Course) -> _Done:
            async with permits:
                # Rules wait for nothing: others get their turn every few questions.
                await asyncio.sleep(0)
                return await step(course)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(done(course)) for course in courses]
        except* HeadwaterError as errors:
            raise _first(errors) from None
        return [task.result() for task in tasks]

    async def _prepare_fully(self, course: Course) -> None:
        async with aclosing(self._prepare(course)) as stages:
            async for _ in stages:
                pass

    async def _prepare(self, course: Course) -> AsyncGenerator[StageFinished, None]:
        """Judges and understands a question before anything is searched: one that is refused is not understood, and
        what a follow-up was rewritten to must pass the same guardrail."""
        guard = self._guardrails.question
        if guard is not None:
            yield course.judge(guard, "guard_question", course.question.text)
        if course.refusal is None and self._planner.active:
            yield await self._understand(course)
            if guard is not None and course.plan.rewritten:
                yield course.judge(guard, "guard_rewritten", course.plan.text)

    async def _understand(self, course: Course) -> StageFinished:
        """Sets the plan, and the draft of a question that is not searched for."""
        started = time.perf_counter()
        with observe.stage_span("understand") as span:
            request = UnderstandingRequest(course.question, course.caller, course.asked_at)
            course.plan, course.understood = await self._planner.plan(request), True
            course.draft = not_searched(course.plan)
            observe.note_plan(span, course.plan)
        return course.finished("understand", started)

    async def _look_up(self, course: Course, cache: AnswerCache) -> StageFinished:
        """Sets the draft of a question whose answer was given before and still stands."""
        started = time.perf_counter()
        with observe.stage_span("cache"):
            hit = await cache.find(course.question, course.plan, course.caller)
        if hit is not None:
            course.draft, course.cached = hit.draft, True
            course.retrieved = Retrieved((), generation=hit.generation)
        return course.finished("cache", started)

    async def _retrieve(self, course: Course) -> StageFinished:
        started = time.perf_counter()
        with observe.stage_span("retrieve") as span:
            planned = (course.question, course.plan)
            (retrieved,) = await self._planner.search([planned], self._retrieval, course.caller)
            self._found(course, retrieved)
            observe.note_retrieval(span, retrieved)
        return course.finished("retrieve", started)

    async def _retrieve_all(self, courses: Sequence[Course], caller: Caller) -> None:
        started = time.perf_counter()
        planned = [(course.question, course.plan) for course in courses]
        found = await self._planner.search(planned, self._retrieval, caller)
        for course, retrieved in zip(courses, found, strict=True):
            self._found(course, retrieved)
            if not course.plan.reply:
                course.finished("retrieve", started)

    def _found(self, course: Course, retrieved: Retrieved) -> None:
        course.retrieved = retrieved
        # What a question names too little of is no reason to ask about passages that have nothing to do with it.
        weak = self._policy.is_weak(retrieved)
        asked = None if weak else self._planner.clarified(course.question, course.plan, retrieved)
        if asked is not None:
            course.plan, course.draft = asked

    async def _finish(self, course: Course) -> Answer:
        async with aclosing(self._answer(course)) as events:
            async for event in events:
                if isinstance(event, AnswerReady):
                    return event.answer
        raise Defect("An answer ended without its last event.")

    async def _answer(self, course: Course) -> AsyncGenerator[AnswerEvent, None]:
        async with aclosing(self._generate(course)) as events:
            async for event in events:
                yield course.tell(event)
        if self._verifier is not None and course.draft is not None and course.blocks:
            yield await self._verify(self._verifier, course, course.draft)
        started = time.perf_counter()
        with observe.stage_span("check_citations"):
            draft = await self._recheck(course)
        yield course.finished("check_citations", started)
        if self._cache is not None and not (course.cached or course.degraded):
            await self._cache.keep(course.question, course.plan, course.caller, draft, course.retrieved)
        for event in untold(draft, course.told):
            yield course.tell(event)
        yield UsageKnown(draft.usage)
        yield AnswerReady(await self._settle(course, draft))

    async def _verify(self, verifier: Verifier, course: Course, draft: Draft) -> StageFinished:
        started = time.perf_counter()
        course.written = draft
        with observe.stage_span("verify") as span:
            course.draft = await verifier.verify(draft, course.blocks, course.caller)
            observe.note_support(span, course.draft)
        return course.finished("verify", started)

    async def _generate(self, course: Course) -> AsyncGenerator[AnswerEvent, None]:
        """Context and generation; leaves the draft in ``course``, unless there is one already."""
        if course.refusal is not None:
            course.draft = Draft(Outcome.REFUSED, REFUSED_TEXT, 0.0)
        if course.draft is not None:
            if self._guardrails.output is not None:
                course.plan, course.draft = self._guardrails.output.asked_back(course.plan, course.draft)
            return
        limits = self._policy.context
        if course.question.context_tokens:
            limits = replace(limits, tokens=course.question.context_tokens)
        started = time.perf_counter()
        weak = self._policy.is_weak(course.retrieved)
        blocks = () if weak else select_context(course.retrieved.passages, limits, self._tokens)
        yield course.finished("context", started)
        if blocks and self._guardrails.sources:
            started = time.perf_counter()
            with observe.stage_span("guard_sources") as span:
                blocks, steering = await asyncio.to_thread(neutralise, blocks)
                observe.note_steering(span, steering)
            if steering:
                course.degraded.append(REMOVED)
            yield course.finished("guard_sources", started)
        if not blocks:
            course.draft = Draft(Outcome.ABSTAINED, ABSTENTION_TEXT, 0.0, abstention=AbstentionReason.NOTHING_FOUND)
            return
        course.blocks = tuple(blocks)
        started = time.perf_counter()
        request = GenerationRequest(course.plan.text, blocks, course.caller, course.asked_at, course.account)
        span = observe.start_stage("generate")
        try:
            async with aclosing(self._guarded(request)) as pieces:
                async for piece in observe.within(span, pieces):
                    if isinstance(piece, Draft):
                        course.draft = piece
                    else:
                        yield piece
        finally:
            observe.note_generator(span, self._generator.name, course.draft)
            span.end()
        yield course.finished("generate", started)

    def _guarded(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        pieces = self._generator.generate(request)
        guard = self._guardrails.output
        return pieces if guard is None else guard.guarded(pieces, request.blocks)

    async def _recheck(self, course: Course) -> Draft:
        draft = course.draft
        if draft is None:
            raise Defect("A generator ended without a draft.")
        if course.cached:
            # All of its citations were looked at a moment ago; with one missing it would not be here.
            return draft
        return await recheck_draft(draft, self._retrieval, course.caller)

    async def _settle(self, course: Course, draft: Draft) -> Answer:
        """The answer, logged unless the log is down: an answer without a log is worth more than none."""
        retrieved = course.retrieved
        answer = Answer(
            answer_id=self._new_id(),
            outcome=draft.outcome,
            text=draft.text,
            citations=draft.citations,
            confidence=draft.confidence,
            degraded=tuple(
                dict.fromkeys((*course.plan.degraded, *retrieved.degraded, *course.degraded, *draft.degraded))
            ),
            timings=(*retrieved.timings, *course.timings),
            usage=draft.usage,
            trace_id=current_trace_id(),
            generator=draft.generator or self._generator.name,
            generation=retrieved.generation,
            plan=course.plan if course.understood else None,
            refusal=course.refusal,
            cost=self._costs.cost_of(course.account) if self._costs is not None else None,
            support=draft.support,
            abstention=draft.abstention_reason,
            conflicts=draft.conflicts,
        ).with_readable_parts()
        question, logged = course.question, unrevealed(answer, draft.revealed)
        if self._policy.mask_questions:
            text, plan = await masked_entry(question.text, answer.plan)
            question, logged = replace(question, text=text), replace(logged, plan=plan)
        entry = self._recorder.entry(course, answer, logged, question.text, self._clock.now())
        try:
            await self._log.record(entry)
        except (DependencyUnavailable, DeadlineExceeded, Overloaded):
            answer = replace(answer, degraded=(*answer.degraded, UNLOGGED))
        if not await self._settle_cost(course):
            answer = replace(answer, degraded=(*answer.degraded, UNRECORDED))
        observe.answered(question, replace(answer, text=unrevealed(answer, draft.revealed).text), retrieved)
        if self._watch is not None:
            self._watch.answered(answer, retrieved, len(course.question.text))
        return answer

    async def _settle_cost(self, course: Course) -> bool:
        """Charges the question's cost, once, however it ended; False when it could not be kept."""
        if self._costs is None or course.settled:
            return True
        course.settled = True
        return await self._costs.settle(course.caller, self._costs.cost_of(course.account))


def _first(errors: BaseExceptionGroup[HeadwaterError]) -> HeadwaterError:
    """The first error of a group, however deep: a batch fails as one question would."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
