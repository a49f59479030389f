"""The question's vector moves towards the first passage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.retriever.fakes import ANN, DIRECTION, TENANT, World, rounded

from chassis.errors import DependencyUnavailable
from corpus.access import access_tokens
from corpus.domain import AccessPolicy, Candidate, HeadState
from retriever.domain import Query, RerankMode, SearchResult

ASIDE = np.array([0.0, 1.0, 0.0, 0.0], dtype=np.float32)
MOVED = (0.71, 0.71, 0.0, 0.0)
QUERY = Query("how", explain=True)


@pytest.fixture
def world() -> World:
    """The first passage stands aside of the question; near to it are other passages than near to the question."""
    world = World()
    world.ranking = replace(world.ranking, feedback_weight=1.0)
    world.add("first", vector=0.9, lexical=9.0)
    world.add("second", vector=0.8, lexical=2.0)
    world.add("third", vector=0.1, lexical=1.0)
    world.add("hidden")
    world.vector.stored = {"first#0": ASIDE, "second#0": DIRECTION}
    scores = {"first": 0.95, "hidden": 0.9, "third": 0.7, "second": 0.1}
    world.vector.around[MOVED] = [Candidate(f"{name}#0", name, 2, score) for name, score in scores.items()]
    return world


def ids(result: SearchResult) -> list[str]:
    return [hit.head.key.document_id for hit in result.hits]


async def test_a_second_search_finds_what_is_like_the_first_passage(world: World):
    result = await world.searches().search(ANN, QUERY)
    assert ids(result) == ["first", "hidden", "third", "second"]
    assert result.degraded == ()
    assert {hit.explanation.feedback for hit in result.hits if hit.explanation} == {"first#0"}
    assert rounded(world.vector.asked[-1]) == MOVED
    assert world.vector.prefilters[0] == world.vector.prefilters[-1]
    assert "feedback" in {timing.stage for timing in result.timings}


async def test_similarity_stays_that_of_the_question(world: World):
    result = await world.searches().search(ANN, QUERY)
    assert {hit.head.key.document_id: hit.similarity for hit in result.hits} == {
        "first": 0.9,
        "second": 0.8,
        "third": 0.1,
        "hidden": 0.0,
    }


async def test_explanations_add_up_after_feedback(world: World):
    for hit in (await world.searches().search(ANN, QUERY)).hits:
        parts = hit.explanation
        assert parts is not None
        assert sum(leg.weight * leg.normalised for leg in parts.legs) == pytest.approx(parts.fused)


@pytest.mark.parametrize("change", ["deleted", "revoked", "superseded"])
async def test_a_passage_that_may_not_be_read_moves_nothing(world: World, change: str):
    match change:
        case "deleted":
            world.change_head("first", state=HeadState.DELETED)
        case "revoked":
            world.change_head("first", access=AccessPolicy(access_tokens(TENANT, ["user:bob"])))
        case _:
            world.change_head("first", version=9, chunks_version=9)
    result = await world.searches().search(ANN, QUERY)
    assert "first" not in ids(result)
    assert MOVED not in [rounded(each) for each in world.vector.asked]
    # The one that may be read comes first in its place, so the question stays where it is.
    assert {rounded(each) for each in world.vector.asked} == {rounded(DIRECTION)}


async def test_what_the_second_search_finds_goes_through_the_head_check(world: World):
    world.change_head("hidden", access=AccessPolicy(access_tokens(TENANT, ["user:bob"])))
    result = await world.searches().search(ANN, QUERY)
    assert ids(result) == ["first", "third", "second"]
    assert result.dropped_by_head_check == 1


async def test_an_index_that_fails_at_the_second_search_leaves_the_fused_order_and_says_so(world: World):
    world.vector.stored_error = DependencyUnavailable("gone", reason="GONE")
    result = await world.searches().search(ANN, QUERY)
    assert ids(result) == ["first", "second", "third"]
    assert result.degraded == ("feedback",)


@pytest.mark.parametrize("query", [replace(QUERY, rerank=RerankMode.OFF), replace(QUERY, legs=("vector",))])
async def test_a_search_without_reranking_or_with_one_leg_stays_where_it_is(world: World, query: Query):
    result = await world.searches().search(ANN, query)
    assert ids(result)[0] == "first"
    assert "hidden" not in ids(result)
    assert world.vector.calls == 1


async def test_a_passage_whose_vector_is_gone_moves_nothing(world: World):
    world.vector.stored = {}
    result = await world.searches().search(ANN, QUERY)
    assert ids(result) == ["first", "second", "third"]
    assert result.degraded == ()


async def test_queries_of_a_batch_move_each_their_own_way(world: World):
    other = replace(QUERY, text="what", rerank=RerankMode.OFF)
    moved, still = await world.searches().search_batch(ANN, [QUERY, other])
    assert ids(moved) == ["first", "hidden", "third", "second"]
    assert ids(still) == ["first", "second", "third"]
