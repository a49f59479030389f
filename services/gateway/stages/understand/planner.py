"""Runs the stages, and searches as the plan says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from chassis.errors import InvalidRequest
from chassis.identity import Caller
from gateway import observe
from gateway.domain import MAX_BATCH_QUESTIONS, Draft, Outcome, Question, Retrieved
from gateway.plan import STAGES, Plan, StageTime
from gateway.ports import Retrieval, Understanding, UnderstandingRequest
from gateway.stages.understand import clarify
from gateway.stages.understand.expand import expanded
from gateway.stages.understand.fuse import fuse

PART_WEIGHT: Final = 0.5
EXPANSION_WEIGHT: Final = 0.5

Planned = tuple[Question, Plan]


class Planner:
    """Understands questions.

    Args:
        stages: In the order in which they refine the plan; of any subset of ``STAGES``.
        clarifies: Whether it asks back.
        part_weight: Of each part of a question beside the question as a whole.
        expansion_weight: Of the search with terms of the first passages beside the first.
    """

    def __init__(
        self,
        stages: Sequence[Understanding] = (),
        *,
        clarifies: bool = False,
        part_weight: float = PART_WEIGHT,
        expansion_weight: float = EXPANSION_WEIGHT,
    ) -> None:
        self._stages = tuple(stages)
        self._clarifies = clarifies
        self._part_weight = part_weight
        self._expansion_weight = expansion_weight

    @property
    def active(self) -> bool:
        """Whether there is any stage at all."""
        return bool(self._stages) or self._clarifies

    async def plan(self, request: UnderstandingRequest) -> Plan:
        """How the question is understood. Raises InvalidRequest UNKNOWN_STAGE, UNKNOWN_COLLECTION."""
        without = request.question.options.without
        if not without.issubset(STAGES):
            raise InvalidRequest(f"There is no such stage; known are {', '.join(STAGES)}.", reason="UNKNOWN_STAGE")
        if request.question.options.collections and not any(stage.name == "route" for stage in self._stages):
            # What can't be kept to must not be searched as if it had not been asked for.
            raise InvalidRequest("The tenant has no such collection.", reason="UNKNOWN_COLLECTION")
        plan = Plan(request.question.text, request.question.text)
        for stage in self._stages:
            forced = stage.name == "route" and request.question.options.collections
            if stage.name in without and not forced:
                continue
            started = time.perf_counter()
            with observe.stage_span(f"understand.{stage.name}"):
                plan = await stage.refine(plan, request)
            timing = StageTime(stage.name, (time.perf_counter() - started) * 1000)
            plan = replace(plan, timings=(*plan.timings, timing))
            if plan.reply:
                break
        return plan

    async def search(self, planned: Sequence[Planned], retrieval: Retrieval, caller: Caller) -> Sequence[Retrieved]:
        """What is found for each question, in their order: parts are searched for in the same call and fused. Nothing
        is searched for a question that has its reply. Raises as ``Retrieval.search``."""
        wanted = [_searches(question, plan) for question, plan in planned]
        flat = [each for searches in wanted for each in searches]
        found = iter(await _all_of(flat, retrieval, caller))
        results = []
        for (_, plan), searches in zip(planned, wanted, strict=True):
            own = [next(found) for _ in searches]
            results.append(_merged(own, plan, self._part_weight) if own else Retrieved(()))
        return await self._expanded(planned, results, retrieval, caller)

    def clarified(self, question: Question, plan: Plan, retrieved: Retrieved) -> tuple[Plan, Draft] | None:
        """The plan and draft that ask back, where that is called for."""
        if not self._clarifies or clarify.NAME in question.options.without or plan.reply:
            return None
        started = time.perf_counter()
        asked = clarify.ask_back(plan, retrieved)
        if asked is None:
            return None
        timing = StageTime(clarify.NAME, (time.perf_counter() - started) * 1000)
        return replace(asked[0], timings=(*plan.timings, timing)), asked[1]

    async def _expanded(
        self, planned: Sequence[Planned], results: Sequence[Retrieved], retrieval: Retrieval, caller: Caller
    ) -> Sequence[Retrieved]:
        more = {
            place: replace(question, text=text, hints=plan.hints())
            for place, ((question, plan), result) in enumerate(zip(planned, results, strict=True))
            if plan.expand and (text := expanded(plan.text, result.passages)) != plan.text
        }
        if not more:
            return results
        found = dict(zip(more, await _all_of(list(more.values()), retrieval, caller), strict=True))
        return [
            _merged([result, found[place]], planned[place][1], self._expansion_weight) if place in found else result
            for place, result in enumerate(results)
        ]


def not_searched(plan: Plan) -> Draft | None:
    """The whole answer of a question that is not searched for."""
    return Draft(Outcome.NOT_SEARCHED, plan.reply, 1.0) if plan.reply else None


def _searches(question: Question, plan: Plan) -> list[Question]:
    if plan.reply:
        return []
    hints = plan.hints()
    return [replace(question, text=text, hints=hints) for text in (plan.text, *plan.searches)]


async def _all_of(questions: Sequence[Question], retrieval: Retrieval, caller: Caller) -> Sequence[Retrieved]:
    if len(questions) == 1:
        return [await retrieval.search(questions[0], caller)]
    found: list[Retrieved] = []
    for first in range(0, len(questions), MAX_BATCH_QUESTIONS):
        found.extend(await retrieval.search_batch(questions[first : first + MAX_BATCH_QUESTIONS], caller))
    return found


def _merged(results: Sequence[Retrieved], plan: Plan, weight: float) -> Retrieved:
    if len(results) == 1:
        return results[0]
    size = max(plan.k, *(len(result.passages) for result in results))
    return fuse(results, (1.0, *(weight for _ in results[1:])), size)
