"""The graph leg: what links add to what the other legs find, and what its failure costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.retriever.fakes import ANN, START, World

from chassis.errors import DependencyUnavailable
from corpus.domain import AccessPolicy, Candidate, HeadState
from retriever.domain import ALL_LEGS, FusionMethod, Leg, Query, RerankMode
from retriever.stages.fuse import fuse, leg_weights

OFF = Query("how", rerank=RerankMode.OFF, explain=True)


@pytest.fixture
def world() -> World:
    world = World(legs=ALL_LEGS)
    world.ranking = replace(world.ranking, graph_weight=0.5)
    world.add("one", vector=0.9, lexical=9.0)
    world.add("two", vector=0.7, lexical=5.0)
    world.add("three", vector=0.1, lexical=1.0)
    world.add("linked")
    return world


def link(world: World, document_id: str, score: float) -> None:
    world.lexical.links.append(Candidate(f"{document_id}#0", document_id, 2, score))


async def test_a_linked_passage_is_found_beside_the_others_and_explained(world: World) -> None:
    link(world, "linked", 1.0)
    result = await world.searches().search(ANN, OFF)
    assert [hit.head.key.document_id for hit in result.hits] == ["one", "two", "linked", "three"]
    assert [hit.score for hit in result.hits] == pytest.approx([2 / 3, (0.75 + 0.5) / 2 * 2 / 3, 1 / 3, 0.0])
    explanation = result.hits[2].explanation
    assert explanation is not None
    parts = {part.leg: (part.rank, part.raw) for part in explanation.legs}
    assert (parts[Leg.GRAPH], parts[Leg.VECTOR]) == ((1, 1.0), (0, 0.0))
    assert [part.weight for part in explanation.legs] == pytest.approx([1 / 3] * 3)
    assert "graph" in {timing.stage for timing in result.timings}


async def test_without_links_every_score_is_what_it_is_without_the_leg(world: World) -> None:
    result = await world.searches().search(ANN, OFF)
    without = await world.searches().search(ANN, replace(OFF, legs=("vector", "lexical")))
    assert [hit.score for hit in result.hits] == [hit.score for hit in without.hits]


async def test_a_weak_link_stays_weak_when_it_is_the_only_one(world: World) -> None:
    link(world, "linked", 0.1)
    result = await world.searches().search(ANN, OFF)
    assert [hit.score for hit in result.hits if hit.head.key.document_id == "linked"] == pytest.approx([0.1 / 3])
    links = {Leg.GRAPH: world.lexical.links}
    assert fuse(links, FusionMethod.RRF, {Leg.GRAPH: 1.0}).scores == {"linked#0": 1.0}


async def test_what_is_linked_is_read_by_nobody_whom_its_head_forbids(world: World) -> None:
    link(world, "linked", 1.0)
    del world.heads.by_id["linked"]
    result = await world.searches().search(ANN, OFF)
    assert [hit.head.key.document_id for hit in result.hits] == ["one", "two", "three"]
    assert result.dropped_by_head_check == 1


async def test_a_search_without_the_graph_leg_says_so(world: World) -> None:
    world.lexical.links_error = DependencyUnavailable("down")
    result = await world.searches().search(ANN, OFF)
    assert result.degraded == ("graph",)
    assert len(result.hits) == 3


async def test_one_store_that_is_down_is_named_once(world: World) -> None:
    world.lexical.error = world.lexical.links_error = DependencyUnavailable("down")
    assert (await world.searches().search(ANN, OFF)).degraded == ("lexical",)


async def test_links_are_no_answer_where_both_legs_that_search_are_down(world: World) -> None:
    link(world, "linked", 1.0)
    world.embedder.error = world.lexical.error = DependencyUnavailable("down")
    with pytest.raises(DependencyUnavailable) as raised:
        await world.searches().search(ANN, OFF)
    assert raised.value.reason == "ALL_LEGS_DOWN"


async def test_the_leg_can_be_asked_alone_and_left_out(world: World) -> None:
    link(world, "linked", 0.4)
    alone = await world.searches().search(ANN, replace(OFF, legs=("graph",)))
    assert [(hit.head.key.document_id, hit.score) for hit in alone.hits] == [("linked", 0.4)]
    assert world.embedder.calls == 0
    world.policy["legs"] = frozenset({Leg.VECTOR, Leg.LEXICAL})
    assert len((await world.searches().search(ANN, OFF)).hits) == 3


async def test_a_lexical_index_that_is_rebuilt_is_named_for_its_links_too(world: World) -> None:
    tenant = world.tenants.by_id["acme"]
    world.tenants.by_id["acme"] = replace(tenant, rebuilding=frozenset({"lexical"}))
    assert (await world.searches().search(ANN, replace(OFF, legs=("graph",)))).degraded == ("lexical",)


def test_weights_of_legs_that_answered_sum_to_one() -> None:
    found = [Candidate("a", "a", 1, 1.0)]
    weights = leg_weights({Leg.VECTOR: found, Leg.LEXICAL: [], Leg.GRAPH: found}, 0.6, 0.25)
    assert weights == {
        Leg.VECTOR: pytest.approx(0.48),
        Leg.LEXICAL: pytest.approx(0.32),
        Leg.GRAPH: pytest.approx(0.2),
    }
    assert leg_weights({Leg.VECTOR: found, Leg.LEXICAL: [], Leg.GRAPH: []}, 0.6, 0.25)[Leg.GRAPH] == 0.0


async def test_heads_say_what_leads_anywhere(world: World) -> None:
    heads = world.heads.by_id
    for name in ("held", "deleted", "expired", "level", "foreign", "unknown"):
        world.add(name)
    heads["held"] = replace(heads["held"], held=True)
    heads["deleted"] = replace(heads["deleted"], state=HeadState.DELETED)
    heads["expired"] = replace(heads["expired"], expires_at=START)
    heads["level"] = replace(heads["level"], access=replace(heads["level"].access, security_level=2))
    heads["foreign"] = replace(heads["foreign"], access=AccessPolicy(frozenset({"others"})))
    del heads["unknown"]
    world.lexical.rows = [*((name, 2) for name in (*heads, "unknown")), ("one", 1)]
    await world.searches().search(ANN, OFF)
    assert set(world.lexical.shown) == {("one", 2), ("two", 2), ("three", 2), ("linked", 2)}


async def test_links_are_followed_by_nobody_while_heads_cannot_be_read(world: World) -> None:
    link(world, "linked", 1.0)
    world.lexical.rows = [("one", 2)]
    world.heads.error = DependencyUnavailable("down")
    with pytest.raises(DependencyUnavailable) as raised:
        await world.searches().search(ANN, OFF)
    assert raised.value.reason == "HEADS_UNAVAILABLE"
