"""A search that an edit overtakes finds the document as it is now, at the cost of one more search, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import prometheus_client
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from tests.unit.retriever.fakes import ANN, START, TENANT, World

from chassis.errors import DependencyUnavailable
from chassis.rpc.deadlines import deadline_in
from chassis.telemetry.metrics import RETRIEVAL_OVERTAKEN
from corpus.access import access_tokens
from corpus.domain import AccessPolicy, Candidate, HeadState
from retriever.domain import Query, RerankMode, SearchResult

OFF = Query("how", rerank=RerankMode.OFF)
NEWER = {"version": 4, "chunks_version": 3}
Outcomes = Callable[[], dict[str, float]]
SALES = AccessPolicy(access_tokens(TENANT, ["group:sales"]))


@pytest.fixture
def world() -> World:
    world = World()
    world.add("good", vector=0.8, lexical=5.0)
    world.add("edited", vector=0.9, lexical=9.0)
    return world


def edit(world: World, **head: object) -> None:
    """Version 3 of the document: rows beside the old ones, then the head."""
    old = world.chunks.by_id["edited#0"]
    chunk = replace(old.chunk, chunk_id="edited@3", chunks_version=3, text="passage that is newer")
    world.chunks.by_id[chunk.chunk_id] = replace(old, chunk=chunk)
    world.chunks.sections["edited", 3, "g1", 0] = replace(world.chunks.sections["edited", 2, "g1", 0], text="newer")
    for index, score in ((world.vector, 0.95), (world.lexical, 9.5)):
        index.ranked = [Candidate(chunk.chunk_id, "edited", 3, score), *index.ranked]
    world.change_head("edited", **{**NEWER, **head})


def once(world: World, act: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    """A hook that acts at its first call, a moment after the one before it."""
    left = [act]

    async def hook() -> None:
        world.clock.advance(0.001)
        if left:
            left.pop()()

    return hook


def found(result: SearchResult) -> list[str]:
    return [hit.stored.chunk.chunk_id for hit in result.hits]


@pytest.fixture
def outcomes() -> Iterator[Outcomes]:
    """Searches by outcome, since the beginning of the test."""
    registry = prometheus_client.CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(scope_info_enabled=False, registry=registry)])
    RETRIEVAL_OVERTAKEN.bind(provider.get_meter("headwater"))

    def read() -> dict[str, float]:
        samples = [sample for family in registry.collect() for sample in family.samples]
        return {
            each.labels["outcome"]: each.value for each in samples if each.name.endswith("retrieval_overtaken_total")
        }

    yield read
    provider.shutdown()


async def search(world: World, query: Query = OFF) -> SearchResult:
    return await world.searches().search(ANN, query)


async def test_a_document_edited_between_legs_and_heads_is_found_as_it_is_now(world: World, outcomes: Outcomes):
    world.chunks.before = once(world, lambda: edit(world))
    result = await search(world)
    assert found(result) == ["edited@3", "good#0"]
    assert result.dropped_by_head_check == 1
    assert len(world.vector.depths) == len(world.lexical.depths) == 2
    assert world.embedder.calls == 1
    assert outcomes() == {"found": 1.0}


async def test_a_document_edited_while_the_reranker_works_is_found_as_it_is_now(world: World):
    world.reranker.before = once(world, lambda: edit(world))
    result = await search(world, replace(OFF, rerank=RerankMode.ON, expand_sections=True))
    assert found(result) == ["edited@3", "good#0"]
    assert result.reranked
    assert result.hits[0].section == world.chunks.sections["edited", 3, "g1", 0]


async def test_a_document_whose_new_rows_were_found_before_they_were_live_is_found_as_it_is_now(
    world: World, outcomes: Outcomes
):
    edit(world, version=3, chunks_version=2)
    world.reranker.before = once(world, lambda: world.change_head("edited", **NEWER))
    result = await search(world, replace(OFF, rerank=RerankMode.ON))
    assert found(result) == ["edited@3", "good#0"]
    assert result.dropped_by_head_check == 1
    assert outcomes() == {"found": 1.0}


async def test_a_search_is_made_again_once_however_often_it_is_overtaken(world: World):
    versions = iter(range(3, 100))

    async def edited_again() -> None:
        world.clock.advance(0.001)
        number = next(versions)
        world.change_head("edited", version=number + 1, chunks_version=number)

    world.chunks.before = edited_again
    assert found(await search(world)) == ["good#0"]
    assert len(world.vector.depths) == 2


async def test_of_a_batch_only_the_overtaken_query_is_made_again(world: World):
    world.vector.by_query = {}
    world.lexical.by_query = {"good": [each for each in world.lexical.ranked if each.document_id == "good"]}
    world.chunks.before = once(world, lambda: edit(world))
    only_good = replace(OFF, text="good", legs=("lexical",))
    first, second = await world.searches().search_batch(ANN, [OFF, only_good])
    assert found(first) == ["edited@3", "good#0"]
    assert found(second) == ["good#0"]
    assert world.lexical.widths == [2, 1]


@pytest.mark.parametrize(
    "head",
    [
        {"version": 4, "state": HeadState.DELETED, "chunks_version": 0},
        {"version": 4, "access": SALES},
        {**NEWER, "access": SALES},
        {**NEWER, "access": AccessPolicy(access_tokens(TENANT, ["public"]), 2)},
        {**NEWER, "expires_at": START},
        {**NEWER, "state": HeadState.DELETED},
        {"chunks_version": 1},
    ],
    ids=["deleted", "revoked", "new for others", "new above him", "new and expired", "new and deleted", "older"],
)
async def test_a_search_is_not_made_again_for_what_the_reader_may_not_be_shown(
    world: World, outcomes: Outcomes, head: dict[str, object]
):
    world.chunks.before = once(world, lambda: world.change_head("edited", **head))
    assert found(await search(world)) == ["good#0"]
    assert len(world.vector.depths) == len(world.lexical.depths) == 1
    assert world.heads.calls == 1
    assert outcomes() == {}


async def test_a_search_is_not_made_again_when_the_new_version_was_found_beside_the_old_one(world: World):
    edit(world)
    assert found(await search(world)) == ["edited@3", "good#0"]
    assert len(world.vector.depths) == 1


async def test_an_edit_that_took_away_what_was_asked_for_costs_one_search_and_no_more(world: World):
    world.change_head("edited", **NEWER)
    searches = world.searches()
    for _ in range(3):
        world.clock.advance(1.0)
        assert found(await searches.search(ANN, OFF)) == ["good#0"]
    assert len(world.vector.depths) == 4
    world.change_head("edited", version=5, chunks_version=5)
    await searches.search(ANN, OFF)
    assert len(world.vector.depths) == 6


async def test_who_asked_before_others_saw_the_edit_asks_again_as_they_did(world: World):
    searches = world.searches()

    async def another_one_sees_the_edit() -> None:
        world.chunks.before = None
        world.clock.advance(0.001)
        edit(world)
        old = [each for each in world.vector.ranked if each.chunks_version == 2]
        newer, world.vector.ranked = world.vector.ranked, old
        await searches.search(ANN, replace(OFF, legs=("vector",)))
        world.vector.ranked = newer

    world.chunks.before = another_one_sees_the_edit
    assert found(await searches.search(ANN, OFF)) == ["edited@3", "good#0"]


async def test_the_first_answer_stands_when_a_leg_fails_the_second_time(world: World):
    def edit_and_break() -> None:
        edit(world)
        world.vector.error = DependencyUnavailable("down")

    world.chunks.before = once(world, edit_and_break)
    result = await search(world)
    assert found(result) == ["good#0"]
    assert result.degraded == ()


async def test_nothing_is_served_when_heads_cannot_be_read_the_second_time(world: World):
    def edit_and_break() -> None:
        edit(world)
        world.lexical.before = once(world, break_heads)

    def break_heads() -> None:
        world.heads.error = DependencyUnavailable("down")

    world.chunks.before = once(world, edit_and_break)
    with pytest.raises(DependencyUnavailable):
        await search(world)


async def test_what_is_deleted_while_a_search_is_made_again_is_not_served(world: World):
    def edit_then_delete() -> None:
        edit(world)
        world.lexical.before = once(world, lambda: world.change_head("good", state=HeadState.DELETED))

    world.chunks.before = once(world, edit_then_delete)
    assert found(await search(world)) == ["edited@3"]


async def test_a_search_is_not_made_again_when_its_time_would_not_suffice(world: World, outcomes: Outcomes):
    def slow_edit() -> None:
        world.clock.advance(60.0)
        edit(world)

    world.chunks.before = once(world, slow_edit)
    with deadline_in(30.0):
        assert found(await search(world)) == ["good#0"]
    assert len(world.vector.depths) == 1
    assert outcomes() == {"out_of_time": 1.0}
