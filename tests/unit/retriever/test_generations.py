"""Searching a generation that is not the active one, and vectors of several models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.retriever.fakes import ANN, GENERATION, World

from chassis.errors import FailedPrecondition, InvalidRequest, NotFound, PermissionDenied
from chassis.identity import Scope
from chassis.telemetry.metrics import RETRIEVAL_SHADOW_OVERLAP
from corpus.domain import Generation
from retriever.adapters.embedder import EmbedderWithModel
from retriever.domain import Query, RerankMode
from retriever.service import SearchPassages
from retriever.shadow import ShadowSearches

ADMIN = replace(ANN, scopes=ANN.scopes | {Scope.ADMIN})
OTHER = replace(GENERATION, name="g2", model_revision="r2")
IN_OTHER = Query("how", rerank=RerankMode.OFF, generation="g2")


async def test_a_generation_beside_is_searched_for_administrators_only() -> None:
    world = World()
    world.add("good", vector=0.8, lexical=5.0)
    world.generations.beside = OTHER
    searches = world.searches()
    assert (await searches.search(ADMIN, IN_OTHER)).generation == "g2"
    assert (await searches.search(ADMIN, replace(IN_OTHER, generation=""))).generation == GENERATION.name
    with pytest.raises(PermissionDenied):
        await searches.search(ANN, IN_OTHER)


async def test_a_generation_that_is_not_kept_is_not_searched() -> None:
    world = World()
    with pytest.raises(NotFound) as refused:
        await world.searches().search(ADMIN, IN_OTHER)
    assert refused.value.reason == "UNKNOWN_GENERATION"


async def test_a_batch_searches_one_generation() -> None:
    world = World()
    world.generations.beside = OTHER
    with pytest.raises(InvalidRequest):
        await world.searches().search_batch(ADMIN, [IN_OTHER, Query("how")])


@dataclass
class OneModel:
    """An embedder with one model."""

    revision: str
    asked: list[str] = field(default_factory=list)

    async def embed(self, tenant_id: str, texts: Sequence[str], generation: Generation) -> NDArray[np.float32]:
        self.asked.append(generation.model_revision)
        if generation.model_revision != self.revision:
            raise FailedPrecondition("other model", reason="MODEL_MISMATCH")
        return np.full((len(texts), 4), float(self.revision[1:]), np.float32)


async def test_a_question_goes_to_the_embedder_that_has_the_generations_model() -> None:
    first, second = OneModel("r1"), OneModel("r2")
    both = EmbedderWithModel([first, second])
    one = replace(GENERATION, model_revision="r1")
    for _ in range(3):
        assert (await both.embed("acme", ["how"], one))[0, 0] == 1.0
        assert (await both.embed("acme", ["how"], OTHER))[0, 0] == 2.0
    assert first.asked.count("r2") == 1
    assert second.asked == ["r2"] * 3
    with pytest.raises(FailedPrecondition):
        await both.embed("acme", ["how"], replace(OTHER, model_revision="r3"))


async def _look_aside(world: World, searches: SearchPassages, share: float = 1.0) -> ShadowSearches:
    catalogue = world.catalogue()
    await catalogue.refresh()
    return ShadowSearches(searches, catalogue, share)


async def test_a_sampled_search_is_made_on_the_shadow_and_leaves_figures_only() -> None:
    world = World()
    world.add("good", vector=0.8, lexical=5.0)
    world.generations.beside = OTHER
    searches = world.searches()
    shadows = await _look_aside(world, searches)
    query = Query("how", rerank=RerankMode.OFF)
    before = RETRIEVAL_SHADOW_OVERLAP.family()
    shadows.consider(ANN, query, await searches.search(ANN, query), 0.01)
    async with asyncio.timeout(5):
        await shadows.once()
    after = RETRIEVAL_SHADOW_OVERLAP.family()
    assert _count(after) == _count(before) + 1


async def test_of_searches_that_come_at_once_few_are_made_again() -> None:
    world = World()
    world.add("good", vector=0.8, lexical=5.0)
    world.generations.beside = OTHER
    searches = world.searches()
    shadows = await _look_aside(world, searches)
    query = Query("how", rerank=RerankMode.OFF)
    result = await searches.search(ANN, query)
    for _ in range(100):
        shadows.consider(ANN, query, result, 0.01)
    async with asyncio.timeout(5):
        await shadows.once()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await shadows.once()


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_without_a_share_or_a_shadow_nothing_is_made_again(share: float) -> None:
    world = World()
    world.add("good", vector=0.8, lexical=5.0)
    world.generations.beside = OTHER if not share else None
    searches = world.searches()
    shadows = await _look_aside(world, searches, share)
    query = Query("how", rerank=RerankMode.OFF)
    shadows.consider(ANN, query, await searches.search(ANN, query), 0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await shadows.once()


def _count(family: Any) -> float:
    return sum(sample.value for sample in family.samples if sample.name.endswith("_count"))
