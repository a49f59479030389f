"""Whether drift is seen where there is some, and only there."""

from __future__ import annotations

import json
import math
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.unit.gateway.edges import Edges, edges
from tests.unit.gateway.fakes import NOW, passage

from chassis.clock import ManualClock
from chassis.errors import FailedPrecondition
from gateway.domain import Answer, Citation, CitationKey, Outcome, Place, Retrieved
from gateway.drift.domain import DriftState, SignalDrift, SignalReference, stability_index
from gateway.drift.watch import DriftWatch
from headwater import AsyncClient, Identity, PermissionDeniedError
from headwater.gateway.v1 import gateway_pb2

CITED = Citation(1, CitationKey("a", 1, "c"), "", "", Place(), "")


def test_the_index_is_the_sum_over_bins_and_nothing_for_equal_shares() -> None:
    assert stability_index([100, 300], [1000, 3000]) == pytest.approx(0, abs=1e-4)
    e, a = (100.5 / 401, 300.5 / 401), (300.5 / 401, 100.5 / 401)
    assert stability_index([100, 300], [300, 100]) == pytest.approx(
        sum((x - y) * math.log(x / y) for x, y in zip(a, e, strict=True))
    )
    assert stability_index([100, 0], [0, 100]) < math.inf


def test_bins_hold_a_tenth_of_the_reference_each() -> None:
    reference = SignalReference.of([float(value) for value in range(1000)])
    assert reference.counts == (100,) * 10
    assert SignalReference.of([1.0] * 50).counts == (50,)
    assert SignalReference.of([1.0, 2.0, 2.0]).counts == (1, 2)
    assert SignalReference.of([0.0] * 50, rate=True).counts == (50, 0)


def test_what_chance_alone_explains_is_stable() -> None:
    few = SignalDrift("score", 0.15, 0.18, 0, 0, 50)
    assert few.state is DriftState.STABLE
    states = [SignalDrift("score", index, 0.02, 0, 0, 500).state for index in (0.05, 0.15, 0.3, None)]
    assert states == [DriftState.STABLE, DriftState.MODERATE, DriftState.LARGE, DriftState.UNKNOWN]


class World:
    """Answers as they come, of numbers drawn from a fixed seed."""

    def __init__(self, window: int = 400, file: Path | None = None) -> None:
        self.watch = DriftWatch(window, file, ManualClock(NOW))
        self.random = random.Random(5)

    def answers(self, count: int, *, score: float = 0.7, abstained: float = 0.05) -> None:
        for _ in range(count):
            found = passage("a", "text", score=min(1.0, max(0.0, self.random.gauss(score, 0.1))))
            outcome = Outcome.ABSTAINED if self.random.random() < abstained else Outcome.ANSWERED
            answer = Answer("x", outcome, "", () if outcome is Outcome.ABSTAINED else (CITED,), self.random.random())
            self.watch.answered(answer, Retrieved((found,)), int(self.random.lognormvariate(4, 0.5)))

    def vectors(self, count: int, towards: int) -> None:
        draw = np.random.default_rng(towards)
        middle = np.zeros(64, np.float32)
        middle[towards] = 4.0
        for _ in range(count):
            vector = draw.standard_normal(64).astype(np.float32) + middle
            self.watch.embedded(vector / np.linalg.norm(vector))

    @property
    def states(self) -> dict[str, DriftState]:
        return {each.signal: each.state for each in self.watch.report().signals}

    def drifted(self) -> set[str]:
        return {name for name, state in self.states.items() if state is DriftState.LARGE}


def test_the_first_answers_are_the_reference_and_more_of_the_same_are_stable() -> None:
    world = World()
    world.answers(399)
    assert world.watch.report().taken_at is None
    world.answers(1)
    assert (world.watch.report().taken_at, world.watch.report().reference_answers) == (NOW, 400)
    world.answers(100)
    assert set(world.states.values()) == {DriftState.UNKNOWN}
    world.answers(300)
    assert set(world.states.values()) == {DriftState.STABLE}


def test_lower_scores_and_more_abstentions_are_seen_and_go_when_they_leave_the_window() -> None:
    world = World()
    world.answers(800)
    world.answers(400, score=0.4, abstained=0.5)
    assert world.drifted() == {"score", "abstained", "cited"}
    abstained = next(each for each in world.watch.report().signals if each.signal == "abstained")
    assert abstained.now > 0.4 > 0.1 > abstained.reference
    world.answers(400)
    assert world.drifted() == set()


def test_a_rate_that_was_nothing_is_measured_too() -> None:
    world = World()
    world.answers(400, abstained=0.0)
    world.answers(400, abstained=0.3)
    assert "abstained" in world.drifted()


def test_questions_about_something_else_move_their_vectors() -> None:
    world = World()
    world.vectors(400, towards=3)
    world.answers(400)
    world.vectors(400, towards=3)
    assert world.drifted() == set()
    world.vectors(400, towards=9)
    assert world.drifted() == {"embedding"}


async def test_a_reference_is_taken_on_demand_and_outlives_the_process(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "drift.json"
    world = World(file=file)
    with pytest.raises(FailedPrecondition):
        await world.watch.take_reference()
    world.answers(450)
    world.answers(400, score=0.4)
    assert "score" in world.drifted()
    await world.watch.take_reference()

    again = World(file=file)
    again.answers(400, score=0.4)
    assert again.drifted() == set()
    assert set(json.loads(file.read_bytes())["signals"]) >= {"score", "abstained", "question_length"}


@pytest.mark.parametrize("content", [b"{", b'{"format": 1}', b""])
def test_a_reference_that_cannot_be_read_is_taken_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "drift.json"
    file.write_bytes(content)
    world = World(file=file)
    world.answers(400)
    assert world.watch.report().taken_at == NOW


async def test_nothing_is_watched_with_a_window_of_nothing() -> None:
    world = World(window=0)
    world.answers(10)
    world.vectors(2, 1)
    assert world.watch.report().signals == ()
    with pytest.raises(FailedPrecondition) as refused:
        await world.watch.take_reference()
    assert refused.value.reason == "DRIFT_NOT_WATCHED"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Edges]:
    async with edges(tmp_path, drift_window=2) as made:
        yield made


async def ask(running: Edges, questions: Iterable[str]) -> None:
    batch = gateway_pb2.AskBatchRequest(questions=[gateway_pb2.Question(text=each) for each in questions])
    await running.grpc.AskBatch(
        batch, metadata=[("x-headwater-dev-tenant", "acme"), ("x-headwater-dev-subject", "ann")]
    )


async def test_both_edges_report_drift_to_administrators_alone(running: Edges) -> None:
    await ask(running, ["How many sensors does a gateway accept?"] * 4)

    async with AsyncClient(running.target, identity=Identity("acme", "ann", scopes=["read", "admin"])) as client:
        report = await client.drift.report()
        assert report.window == report.reference_answers == 2
        assert {each.signal for each in report.signals} >= {"score", "abstained", "question_length"}
        assert (await client.drift.take_reference()).window_answers == 0
    async with AsyncClient(running.target, identity=Identity("acme", "ben", scopes=["read", "write"])) as client:
        with pytest.raises(PermissionDeniedError):
            await client.drift.report()
        with pytest.raises(PermissionDeniedError):
            await client.drift.take_reference()

    headers = httpx.Headers([("x-headwater-dev-tenant", "acme"), ("x-headwater-dev-scopes", "read admin")])
    body = (await running.http.get("/v1/drift", headers=headers)).json()
    assert (body["window"], body["reference_answers"]) == (2, 2)
    assert {each["state"] for each in body["signals"]} <= {"stable", "moderate", "large", "unknown"}
    refused = await running.http.post("/v1/drift/reference", headers=headers)
    assert refused.json()["reason"] == "TOO_FEW_ANSWERS"
