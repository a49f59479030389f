"""Batches: their questions are understood side by side, and others get their turn meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.gateway.fakes import ALICE, NOW, Gateway

from chassis.errors import DependencyUnavailable, InvalidRequest
from corpus.analysis import analyse
from gateway import observe
from gateway.domain import Question
from gateway.plan import Plan, PlanOptions
from gateway.ports import UnderstandingRequest
from gateway.settings import GatewaySettings
from gateway.stages.understand.classify import Classify
from gateway.stages.understand.depth import MANY
from gateway.stages.understand.planner import Planner
from gateway.understanding import build_planner

VOCABULARY = """
[[tenants.acme.collections]]
name = "people"
description = "Holiday, leave and travel."
doc_types = ["policy"]

[tenants.acme.fields.doc_type.values]
runbook = ["runbooks"]
"""


class Together:
    """A stage that goes on once two questions are in it."""

    name = "classify"

    def __init__(self) -> None:
        self._two = asyncio.Barrier(2)

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        async with asyncio.timeout(5):
            await self._two.wait()
        return plan


class Watching(Classify):
    """Notes how often others had their turn before each question."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.seen: list[int] = []

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        self.seen.append(self.turns)
        return await super().refine(plan, request)

    async def count(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


async def test_questions_of_a_batch_are_understood_side_by_side() -> None:
    gateway = Gateway(planner=Planner((Together(),)))

    answers = await gateway.questions.ask_batch([Question(f"probe {number}") for number in range(4)], ALICE)

    assert len(answers) == 4


async def test_others_get_their_turn_between_the_questions_of_a_batch() -> None:
    stage = Watching()
    gateway = Gateway(planner=Planner((stage,)))
    others = asyncio.create_task(stage.count())

    await gateway.questions.ask_batch([Question(f"probe {number}") for number in range(16)], ALICE)
    others.cancel()

    assert len(set(stage.seen)) >= 4


@pytest.mark.parametrize("down", [False, True])
async def test_a_batch_that_can_not_be_understood_or_searched_counts_as_failed_once(
    monkeypatch: pytest.MonkeyPatch, down: bool
) -> None:
    gateway = Gateway(planner=Planner((Classify(),)))
    gateway.retrieval.down = down
    unknown = PlanOptions(frozenset() if down else frozenset({"no"}))
    counted: list[bool] = []
    monkeypatch.setattr(observe, "failed", lambda: counted.append(True))

    with pytest.raises(DependencyUnavailable if down else InvalidRequest):
        await gateway.questions.ask_batch([Question("a?", options=unknown), Question("b?", options=unknown)], ALICE)

    assert counted == [True]


@pytest.mark.parametrize(("words", "seen"), [(10, True), (200, False)])
async def test_rules_look_at_the_first_characters_only(tmp_path: Path, words: int, seen: bool) -> None:
    file = tmp_path / "vocabulary.toml"
    file.write_text(VOCABULARY)
    planner = build_planner(GatewaySettings(understand_vocabulary=file, understand_depth=True), analyse)
    text = "probe " * words + "doc_type: runbook since 2026-06-01 list all holiday leave"

    plan = await planner.plan(UnderstandingRequest(Question(text), ALICE, NOW))

    assert (plan.filters != (), plan.route is not None, plan.k == MANY) == (seen, seen, seen)
