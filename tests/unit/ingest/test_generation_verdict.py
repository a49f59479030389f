"""What is no figure passes no verdict, and the plan holds no essays."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from tests.unit.ingest.generations_world import GenerationsWorld, passing
from tests.unit.ingest.world import WRITER

from chassis.errors import InvalidRequest
from chassis.identity import acting_as
from headwater.ingest.v1 import generations_pb2
from ingest.generations.figures import COMPARISON, VerdictRules, comparison_to_text, objections
from ingest.generations.servicer import MAX_REASON, GenerationServicer

NO_FIGURES: list[dict[str, Any]] = [
    {name: value}
    for name in ("overlap", "hit", "hit_beside", "mrr", "mrr_beside", "p95_ms", "p95_beside_ms")
    for value in (math.nan, math.inf, -0.1)
] + [{"overlap": 1.1}, {"hit_beside": 2.0}, {"k": 0}]


@pytest.mark.parametrize("wrong", NO_FIGURES, ids=str)
def test_figures_that_are_none_do_not_pass(wrong: dict[str, Any]) -> None:
    assert objections(passing("g"), "g", VerdictRules()) == []
    assert len(objections(replace(passing("g"), **wrong), "g", VerdictRules())) == 1


def test_two_sides_that_find_nothing_of_what_is_expected_do_not_pass() -> None:
    assert not objections(passing("g"), "g", VerdictRules())
    nothing = replace(passing("g"), overlap=1.0, hit=0.0, hit_beside=0.0, mrr=0.0, mrr_beside=0.0)
    (said,) = objections(nothing, "g", VerdictRules())
    assert "is 0" in said


async def test_figures_that_are_none_are_refused_at_the_edge_and_where_they_were_noted() -> None:
    async with GenerationsWorld() as world:
        await world.put("d", 1, "text of d")
        plan = await world.operate.create(WRITER, chunk_target_tokens=40)
        assert plan.beside is not None
        name = plan.beside.generation.name
        servicer = GenerationServicer(world.operate)
        figures = {each: value for each, value in asdict(passing(plan.active.name)).items() if each != "at"}
        figures["golden_queries"], figures["live_queries"] = figures.pop("golden"), figures.pop("live")
        for wrong in ({"overlap": math.nan}, {"against": "g" * 1_000}):
            message = generations_pb2.GenerationComparison(**{**figures, **wrong})
            request = generations_pb2.RecordComparisonRequest(name=name, comparison=message)
            with acting_as(WRITER), pytest.raises(InvalidRequest) as raised:
                await servicer.RecordComparison(request, None)  # type: ignore[arg-type]
            assert raised.value.reason == "BAD_FIGURES"
        bad = replace(passing(plan.active.name), overlap=math.nan, p95_beside_ms=math.inf)
        await world.stores.generations.note(name, COMPARISON, comparison_to_text(bad))
        assert len((await world.operate.status(WRITER)).objections) == 1


async def test_a_reason_that_is_too_long_is_refused() -> None:
    async with GenerationsWorld() as world:
        servicer = GenerationServicer(world.operate)
        request = generations_pb2.PromoteGenerationRequest(name="g", force=True, reason="x" * (MAX_REASON + 1))
        with acting_as(WRITER), pytest.raises(InvalidRequest) as raised:
            await servicer.PromoteGeneration(request, None)  # type: ignore[arg-type]
        assert raised.value.reason == "REASON_TOO_LONG"
