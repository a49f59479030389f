"""Questions with what is to be understood of them, and whether the rules do; no service is needed for that."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval.golden_set import EVAL_DIRECTORY

from chassis.identity import Caller, Scope
from gateway.domain import Question
from gateway.plan import Plan, Turn
from gateway.ports import UnderstandingRequest
from gateway.stages.understand.planner import Planner

VOCABULARY = EVAL_DIRECTORY / "vocabulary.toml"
TENANT = "tarnwell"
HALVES = ("development", "held_out")
"""Rules were written against the first half; what is reported is the second."""


@dataclass(frozen=True, slots=True)
class Case:
    """A question and what is known of it; ``expected`` holds the keys of its row besides id, question and history."""

    case_id: str
    question: str
    history: tuple[Turn, ...]
    expected: Mapping[str, Any]

    @property
    def half(self) -> str:
        """By the hash of the id."""
        return half_of(self.case_id)


def half_of(case_id: str) -> str:
    """Development or held out, by the hash of the id."""
    return HALVES[hashlib.sha256(case_id.encode()).digest()[0] % 2]


@dataclass(frozen=True, slots=True)
class Judged:
    """One property of one case: "class:how_to", "rewrite", "filters", "route"; ``found`` is what the rules said."""

    case: Case
    what: str
    right: bool
    found: str


def load_cases(path: Path = EVAL_DIRECTORY / "questions_classes.jsonl") -> list[Case]:
    """The file's rows."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [
        Case(
            row.pop("id"),
            row.pop("question"),
            tuple(Turn(turn["question"], turn["answer"]) for turn in row.pop("history", ())),
            row,
        )
        for row in rows
    ]


def request_of(question: str, history: Sequence[Turn] = ()) -> UnderstandingRequest:
    """A request of the sample corpus' tenant."""
    caller = Caller(TENANT, "evaluation", frozenset(), 0, frozenset({Scope.READ}))
    return UnderstandingRequest(Question(question, history=tuple(history)), caller, datetime.now(UTC))


def judge(cases: Sequence[Case], planner: Planner) -> tuple[list[Judged], list[float]]:
    """Every property of every case, and the milliseconds of each plan."""
    judged: list[Judged] = []
    milliseconds: list[float] = []

    async def run() -> None:
        for case in cases:
            request = request_of(case.question, case.history)
            # Time of this thread: stages wait for nothing, and what else a machine does is not their cost.
            started = time.thread_time()
            plan = await planner.plan(request)
            milliseconds.append((time.thread_time() - started) * 1000)
            judged.extend(_judge(case, plan))

    asyncio.run(run())
    return judged, milliseconds


def _judge(case: Case, plan: Plan) -> list[Judged]:
    expected, found = case.expected, []
    if "class" in expected:
        kind = plan.question_class.value
        found.append(Judged(case, f"class:{expected['class']}", kind == expected["class"], kind))
    if "rewritten_contains" in expected:
        text = plan.text.casefold()
        right = all(word.casefold() in text for word in expected["rewritten_contains"])
        right = right and not any(word.casefold() in text for word in expected["rewritten_lacks"])
        found.append(Judged(case, "rewrite", right, plan.text))
    if "filters" in expected:
        suggested = {
            condition.field.replace("published", "updated_at"): (condition, each)
            for each in reversed(plan.filters)
            for condition in reversed(each.conditions)
        }
        wanted = expected["filters"]
        right = wanted.keys() <= suggested.keys() if wanted else not suggested
        for field, value in wanted.items() if right else ():
            condition, each = suggested[field]
            shown = condition.value if condition.operator == "$eq" else f"{condition.operator} {condition.value}"
            right = right and shown.startswith(value) and each.certain == expected["certain"]
        right = right and (expected["certain"] or not any(each.certain for each in plan.filters))
        found.append(Judged(case, "filters", right, str([each.as_filter() for each in plan.filters])))
    if "collection" in expected:
        first = plan.route.collections[0] if plan.route else ""
        found.append(Judged(case, "route", first == expected["collection"], first))
    return found


def accuracies(judged: Sequence[Judged], half: str) -> dict[str, dict[str, float]]:
    """Share of right ones and their number, by property; "class" for all classes together."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for each in judged:
        if each.case.half == half:
            groups[each.what].append(each.right)
            if each.what.startswith("class:"):
                groups["class"].append(each.right)
    return {what: {"accuracy": sum(right) / len(right), "cases": len(right)} for what, right in sorted(groups.items())}
