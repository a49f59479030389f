"""One dependency down: a flagged answer. All legs down: an error at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.retriever.fakes import ANN, World

from chassis.errors import DeadlineExceeded, DependencyUnavailable, FailedPrecondition, HeadwaterError, Overloaded
from chassis.rpc.deadlines import deadline_in
from retriever.domain import Query, RerankMode, SearchResult

OFF = Query("how", rerank=RerankMode.OFF)
ON = replace(OFF, rerank=RerankMode.ON)


@pytest.fixture
def world() -> World:
    world = World()
    world.add("one", vector=0.9, lexical=5.0)
    world.add("two", vector=0.8, lexical=9.0)
    world.add("three", lexical=1.0)
    world.add("four", vector=0.1)
    return world


def documents(result: SearchResult) -> set[str]:
    return {hit.head.key.document_id for hit in result.hits}


async def test_a_healthy_search_is_not_degraded(world: World):
    result = await world.searches().search(ANN, OFF)
    assert result.degraded == ()
    assert documents(result) == {"one", "two", "three", "four"}


@pytest.mark.parametrize(
    ("broken", "flag", "found"),
    [
        ("embedder", "vector", {"one", "two", "three"}),
        ("vector", "vector", {"one", "two", "three"}),
        ("lexical", "lexical", {"one", "two", "four"}),
    ],
)
@pytest.mark.parametrize("how", ["down", "overloaded", "hanging"])
async def test_a_search_without_a_leg_says_so(world: World, broken: str, flag: str, found: set[str], how: str):
    peer = getattr(world, broken)
    peer.hang = how == "hanging"
    peer.error = {"down": DependencyUnavailable("down"), "overloaded": Overloaded("busy"), "hanging": None}[how]
    result = await world.searches().search(ANN, OFF)
    assert result.degraded == (flag,)
    assert documents(result) == found


async def test_a_leg_that_was_not_asked_for_is_not_degraded(world: World):
    world.vector.error = DependencyUnavailable("down")
    result = await world.searches().search(ANN, replace(OFF, legs=("lexical",)))
    assert result.degraded == ()
    assert world.embedder.calls == 0


async def test_vectors_of_another_model_are_never_searched_with(world: World):
    world.embedder.error = FailedPrecondition("other model", reason="MODEL_MISMATCH")
    result = await world.searches().search(ANN, OFF)
    assert result.degraded == ("vector",)
    assert world.vector.calls == 0
    with pytest.raises(FailedPrecondition):
        await world.searches().search(ANN, replace(OFF, legs=("vector",)))


async def test_a_search_recovers_when_the_leg_does(world: World):
    searches = world.searches()
    world.lexical.error = DependencyUnavailable("down")
    assert (await searches.search(ANN, OFF)).degraded == ("lexical",)
    world.lexical.error = None
    assert (await searches.search(ANN, OFF)).degraded == ()


async def test_both_legs_down_is_an_error_with_a_retry_delay(world: World):
    world.embedder.error = DependencyUnavailable("down", retry_after_seconds=2.0)
    world.lexical.error = DependencyUnavailable("down", retry_after_seconds=0.5)
    with pytest.raises(DependencyUnavailable) as raised:
        await world.searches().search(ANN, OFF)
    assert raised.value.reason == "ALL_LEGS_DOWN"
    assert raised.value.retry_after_seconds == 0.5


async def test_both_legs_hanging_is_an_error_at_once_when_that_is_known(world: World):
    world.embedder.hang = world.lexical.hang = True
    searches = world.searches()
    for _ in range(5):
        with pytest.raises(DependencyUnavailable):
            await searches.search(ANN, OFF)
    asked = world.embedder.calls + world.lexical.calls
    with pytest.raises(DependencyUnavailable) as raised:
        await searches.search(ANN, OFF)
    assert raised.value.retry_after_seconds
    assert world.embedder.calls + world.lexical.calls == asked


async def test_callers_without_patience_do_not_open_the_breaker_for_others(world: World):
    searches = world.searches()
    world.embedder.error = DeadlineExceeded("the caller's time is up")
    for _ in range(10):
        with deadline_in(0.005), pytest.raises(DeadlineExceeded):
            await searches.search(ANN, OFF)
    world.embedder.error = None
    assert (await searches.search(ANN, OFF)).degraded == ()


async def test_a_caller_who_leaves_takes_the_legs_with_him(world: World):
    left: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("gone")

    world.vector.before = world.lexical.before = wait_for_ever
    world.deadlines = replace(world.deadlines, vector=60.0, lexical=60.0)
    search = asyncio.create_task(world.searches().search(ANN, OFF))
    async with asyncio.timeout(5):
        while world.vector.calls + world.lexical.calls < 2:
            await asyncio.sleep(0)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    async with asyncio.timeout(5):
        while len(left) < 2:
            await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["down", "hanging"])
async def test_without_the_reranker_the_fused_order_is_served_and_flagged(world: World, how: str):
    world.reranker.scores = {"four#0": 1.0}
    expected = [hit.stored.chunk.chunk_id for hit in (await world.searches().search(ANN, OFF)).hits]
    world.reranker.hang = how == "hanging"
    world.reranker.error = DependencyUnavailable("down") if how == "down" else None
    result = await world.searches().search(ANN, ON)
    assert [hit.stored.chunk.chunk_id for hit in result.hits] == expected
    assert result.degraded == ("rerank",)
    assert not result.reranked


async def test_a_reranker_that_is_down_matters_only_to_those_who_want_it(world: World):
    world.reranker.error = DependencyUnavailable("down")
    assert (await world.searches().search(ANN, replace(OFF, rerank=RerankMode.AUTO))).degraded == ()
    world.reranker.is_recommended = True
    assert (await world.searches().search(ANN, replace(OFF, rerank=RerankMode.AUTO))).degraded == ("rerank",)


async def test_everything_that_can_fail_alone_is_named(world: World):
    world.vector.error = DependencyUnavailable("down")
    world.reranker.error = DependencyUnavailable("down")
    assert (await world.searches().search(ANN, ON)).degraded == ("vector", "rerank")


@pytest.mark.parametrize("error", [DependencyUnavailable("down"), DeadlineExceeded("slow")])
async def test_chunks_that_cannot_be_read_are_an_error_that_says_retry(world: World, error: HeadwaterError):
    world.chunks.error = error
    with pytest.raises(DependencyUnavailable) as raised:
        await world.searches().search(ANN, OFF)
    assert raised.value.retry_after_seconds


async def test_a_leg_that_fails_in_the_deeper_search_leaves_the_first_result(world: World):
    world.ranking = replace(world.ranking, max_per_document=1)
    for ordinal in range(120):
        world.add("long", vector=0.95 - ordinal / 1000, lexical=20.0 - ordinal / 100, ordinal=ordinal)

    async def fail_the_second_time() -> None:
        if world.lexical.calls == 2:
            raise DependencyUnavailable("down")

    world.lexical.before = fail_the_second_time
    result = await world.searches().search(ANN, replace(OFF, k=3))
    assert result.degraded == ()
    assert documents(result) == {"long", "one"}
