"""Contract of the registry of generations, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened

from corpus.adapters.elasticsearch.generations import ElasticsearchGenerations
from corpus.adapters.memory.generations import MemoryGenerations
from corpus.adapters.sqlite.generations import SqliteGenerations
from corpus.domain import Generation
from corpus.generation_plan import Beside, BesideRole, GenerationPlan
from corpus.ports import Generations

ADAPTERS = (MemoryGenerations, SqliteGenerations, pytest.param(ElasticsearchGenerations, marks=pytest.mark.cluster))

ONE = Generation("gone", "all-MiniLM-L6-v2", "rev1", 384, "chunker-1", "analyser-1")
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
TWO = Generation("gtwo", "bge-small", "rev2", 512, "chunker-2", "analyser-1")


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_generations(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Generations]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


async def test_before_the_first_there_is_none(open_generations: Callable[[], Generations]) -> None:
    assert await open_generations().active() is None


async def test_the_generation_that_was_activated_last_is_active_everywhere(
    open_generations: Callable[[], Generations],
) -> None:
    writer, reader = open_generations(), open_generations()
    for generation in (ONE, ONE, TWO, TWO, ONE):
        await writer.activate(generation)
        assert await reader.active() == generation


async def test_activating_the_active_generation_leaves_the_plan_as_it_is(
    open_generations: Callable[[], Generations],
) -> None:
    registry = open_generations()
    await registry.activate(ONE)
    plan = await registry.plan()
    assert plan == GenerationPlan(1, ONE)
    assert await registry.change(plan.with_shadow(TWO, AT))
    await registry.activate(ONE)
    changed = await registry.plan()
    assert changed == GenerationPlan(2, ONE, Beside(TWO, BesideRole.SHADOW, AT))


async def test_a_plan_replaces_only_the_one_it_was_made_from(open_generations: Callable[[], Generations]) -> None:
    writer, other = open_generations(), open_generations()
    assert not await writer.change(GenerationPlan(1, ONE))
    await writer.activate(ONE)
    first = await writer.plan()
    assert first is not None
    shadowed = first.with_shadow(TWO, AT)
    assert await writer.change(shadowed)
    assert not await other.change(replace(shadowed, reason="of another mind"))
    assert not await other.change(replace(shadowed, revision=4))
    swapped = shadowed.swapped(AT, "better")
    assert await other.change(swapped)
    assert await writer.plan() == swapped
    assert await writer.active() == TWO


async def test_of_many_changes_of_one_plan_exactly_one_is_made(open_generations: Callable[[], Generations]) -> None:
    registries = [open_generations() for _ in range(4)]
    await registries[0].activate(ONE)
    first = await registries[0].plan()
    assert first is not None
    plans = [replace(first, revision=2, reason=f"change {n}") for n in range(4)]
    made = await asyncio.gather(*(each.change(plan) for each, plan in zip(registries, plans, strict=True)))
    assert made.count(True) == 1
    assert await registries[0].plan() == plans[made.index(True)]


async def test_a_plan_comes_back_as_it_was_written(open_generations: Callable[[], Generations]) -> None:
    registry = open_generations()
    await registry.activate(ONE)
    plan = GenerationPlan(2, TWO, Beside(ONE, BesideRole.PREVIOUS, AT, True), True, ("gold",), AT, "because 'it' is")
    assert await registry.change(plan)
    assert await open_generations().plan() == plan


async def test_what_was_noted_last_about_a_generation_counts(open_generations: Callable[[], Generations]) -> None:
    writer, reader = open_generations(), open_generations()
    assert await reader.noted("gone", "build") == ""
    for text in ("1 of 2", "2 of 2"):
        await writer.note("gone", "build", text)
    await writer.note("gone", "comparison", "equal")
    await writer.note("gtwo", "build", "none")
    assert await reader.noted("gone", "build") == "2 of 2"
    assert await reader.noted("gone", "comparison") == "equal"


async def test_of_a_forgotten_generation_nothing_is_noted(open_generations: Callable[[], Generations]) -> None:
    registry = open_generations()
    await registry.note("gone", "build", "all")
    await registry.note("gone", "comparison", "equal")
    await registry.note("gtwo", "build", "none")
    for _ in range(2):
        await registry.forget("gone")
        assert await registry.noted("gone", "build") == await registry.noted("gone", "comparison") == ""
    assert await registry.noted("gtwo", "build") == "none"
