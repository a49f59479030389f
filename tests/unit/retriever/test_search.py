"""The use case ``SearchPassages`` besides failures and heads."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.retriever.fakes import ANN, GENERATION, START, TENANT, World

from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound, PermissionDenied
from corpus.access import access_tokens
from corpus.domain import Candidate, FieldType, Generation, Tenant
from retriever.domain import FusionMethod, Hit, Leg, Query, RerankMode
from retriever.stages.adjust import AdjustPolicy

OFF = Query("how", rerank=RerankMode.OFF, explain=True)
ON = replace(OFF, rerank=RerankMode.ON)


@pytest.fixture
def world() -> World:
    world = World()
    world.add("one", vector=0.9, lexical=5.0)
    world.add("two", vector=0.8, lexical=9.0)
    world.add("three", vector=0.5, lexical=1.0)
    world.add("four", vector=0.1)
    return world


def ids(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.head.key.document_id for hit in hits]


async def test_hits_come_best_first_with_score_similarity_and_head(world: World):
    result = await world.searches().search(ANN, OFF)
    assert ids(result.hits) == ["two", "one", "three", "four"]
    # vector: (.8 - .1) / .8 = .875, lexical: 1
    assert result.hits[0].score == pytest.approx(0.5 * 0.875 + 0.5)
    assert [hit.similarity for hit in result.hits] == [0.8, 0.9, 0.5, 0.1]
    assert result.generation == "g1"
    assert {timing.stage for timing in result.timings} >= {"embed", "vector", "lexical", "fuse", "heads", "select"}


async def test_explanations_add_up_through_every_stage(world: World):
    world.ranking = replace(
        world.ranking, adjust=AdjustPolicy(freshness_weight=0.3, default_half_life_days=10, structure_weight=0.2)
    )
    world.clock.advance(86_400 * 10)
    world.reranker.scores = {"one#0": 3.0, "two#0": 1.0, "three#0": 2.0}
    for query in (OFF, ON, replace(ON, fusion=FusionMethod.RRF), replace(OFF, legs=("lexical",))):
        for hit in (await world.searches().search(ANN, query)).hits:
            parts = hit.explanation
            assert parts is not None
            assert sum(leg.weight * leg.normalised for leg in parts.legs) == pytest.approx(parts.fused)
            assert parts.adjusted == pytest.approx(parts.fused + parts.freshness + parts.structure)
            mixed = parts.adjusted if parts.rerank is None else (parts.adjusted + parts.rerank) / 2
            assert parts.final == pytest.approx(mixed)
            assert hit.score == parts.final
            assert 0.0 <= hit.score <= 1.0


async def test_there_is_no_explanation_and_no_section_unless_asked_for(world: World):
    plain, full = await world.searches().search_batch(
        ANN, [replace(OFF, explain=False), replace(OFF, expand_sections=True)]
    )
    assert all(hit.explanation is None and hit.section is None for hit in plain.hits)
    assert next(hit.section.text for hit in full.hits if hit.section) == "section of two"


async def test_a_batch_gives_what_its_queries_give_alone():
    world = World(leg_candidates=50)
    for number in range(120):
        world.add(f"d{number:03}", vector=0.9 - number / 500, lexical=10.0 - (number * 7 % 120) / 20)
    world.lexical.by_query = {"zebra": [Candidate("d007#0", "d007", 2, 4.0), Candidate("d099#0", "d099", 2, 3.0)]}
    world.reranker.scores = {f"d{number:03}#0": float(number % 11) for number in range(120)}
    queries = [
        OFF,
        replace(OFF, text="zebra", k=3),
        replace(ON, k=5),
        replace(OFF, k=80),
        replace(OFF, filter={"year": 2024}),
        replace(OFF, legs=("lexical",), max_per_document=1),
        replace(OFF, fusion=FusionMethod.RRF, min_score=0.5),
    ]
    together = await world.searches().search_batch(ANN, queries)
    for query, result in zip(queries, together, strict=True):
        alone = await world.searches().search(ANN, query)
        assert [(hit.stored, hit.score, hit.explanation) for hit in result.hits] == [
            (hit.stored, hit.score, hit.explanation) for hit in alone.hits
        ]


async def test_a_batch_is_embedded_once_and_searched_once_per_filter(world: World):
    queries = [OFF, replace(OFF, text="why"), replace(OFF, filter={"year": 2024}), OFF]
    await world.searches().search_batch(ANN, queries)
    assert world.embedder.calls == 1
    assert world.embedder.texts == ["how", "why"]
    assert sorted(world.vector.widths) == [1, 3]
    assert world.heads.calls == 1


async def test_a_text_without_a_token_is_searched_by_words_alone(world: World):
    world.embedder.empty = frozenset({"how"})
    result = await world.searches().search(ANN, OFF)
    assert world.vector.calls == 0
    assert result.degraded == ()
    assert ids(result.hits) == ["two", "one", "three"]


async def test_the_vector_weight_of_a_document_type_counts_for_its_documents_only(world: World):
    stored = world.chunks.by_id["one#0"]
    world.chunks.by_id["one#0"] = replace(stored, doc_type="faq")
    world.ranking = replace(world.ranking, vector_weight_by_type={"faq": 1.0})
    result = await world.searches().search(ANN, OFF)
    assert ids(result.hits)[0] == "one"
    assert result.hits[0].score == pytest.approx(1.0)
    weights = {leg.leg: leg.weight for leg in result.hits[1].explanation.legs} if result.hits[1].explanation else {}
    assert weights == {Leg.VECTOR: 0.5, Leg.LEXICAL: 0.5}
    # What the query says comes first.
    assert ids((await world.searches().search(ANN, replace(OFF, vector_weight=0.0))).hits)[0] == "two"


async def test_older_documents_sink_when_freshness_counts(world: World):
    world.ranking = replace(world.ranking, adjust=AdjustPolicy(freshness_weight=1.0, default_half_life_days=1))
    world.clock.advance(86_400)
    stored = world.chunks.by_id["one#0"]
    world.chunks.by_id["one#0"] = replace(stored, updated_at=START + timedelta(days=1))
    result = await world.searches().search(ANN, OFF)
    assert ids(result.hits)[0] == "one"
    explanation = result.hits[1].explanation
    assert explanation is not None
    assert explanation.freshness == pytest.approx(-explanation.fused / 2)


async def test_words_of_the_question_in_title_and_headings_lift_a_passage(world: World):
    stored = world.chunks.by_id["four#0"]
    world.chunks.by_id["four#0"] = replace(stored, title="Calibrating pumps")
    world.ranking = replace(world.ranking, adjust=AdjustPolicy(structure_weight=0.9))
    assert ids((await world.searches().search(ANN, replace(OFF, text="calibrated pump"))).hits)[0] == "four"


async def test_reranking_reorders_the_window_and_nothing_below_it():
    world = World()
    world.ranking = replace(world.ranking, rerank_depth=20, rerank_weight=1.0)
    for number in range(30):
        world.add(f"d{number:02}", vector=0.9 - number / 100)
    world.reranker.scores = {f"d{number:02}#0": float(number) for number in range(30)}
    result = await world.searches().search(ANN, replace(ON, k=25, legs=("vector",)))
    assert result.reranked
    assert ids(result.hits) == [f"d{number:02}" for number in [*range(19, -1, -1), *range(20, 25)]]
    assert [len(seen) for seen in world.reranker.seen] == [20]


async def test_auto_reranks_only_where_the_model_was_measured_to_help(world: World):
    auto = replace(OFF, rerank=RerankMode.AUTO)
    assert not (await world.searches().search(ANN, auto)).reranked
    world.reranker.is_recommended = True
    assert (await world.searches().search(ANN, auto)).reranked


async def test_hits_under_the_threshold_are_left_out(world: World):
    result = await world.searches().search(ANN, replace(OFF, min_score=0.6))
    assert ids(result.hits) == ["two", "one"]


async def test_one_document_fills_no_more_places_than_the_cap():
    world = World()
    for ordinal in range(6):
        world.add("long", vector=0.9 - ordinal / 100, ordinal=ordinal)
    world.add("other", vector=0.5)
    assert ids((await world.searches().search(ANN, replace(OFF, k=3, max_per_document=2))).hits) == [
        "long",
        "long",
        "other",
    ]


async def test_near_duplicates_give_their_place_to_the_next_passage():
    world = World()
    body = " ".join(f"word{'abcdefghijklmnopqrstuvwxyz'[n]}" for n in range(26))
    for number in range(20):
        world.add(f"copy{number:02}", vector=0.9 - number / 1000, text=body.upper() if number % 2 else body)
    world.add("other", vector=0.5)
    assert ids((await world.searches().search(ANN, replace(OFF, k=2))).hits) == ["copy00", "other"]


async def test_a_search_before_anything_was_ingested_finds_nothing(world: World):
    world.generations.current = None
    result = await world.searches().search(ANN, OFF)
    assert (result.hits, result.generation, result.degraded) == ((), "", ())


async def test_a_store_that_is_being_rebuilt_is_named_as_degraded_by_whoever_needs_it(world: World):
    known = world.tenants.by_id[TENANT]
    world.tenants.by_id[TENANT] = replace(known, rebuilding=frozenset({"vector", "heads"}))
    searches = world.searches()
    assert (await searches.search(ANN, OFF)).degraded == ("vector", "heads")
    assert (await searches.search(ANN, replace(OFF, legs=("lexical",)))).degraded == ("heads",)


async def test_a_new_generation_is_searched_after_the_next_refresh(world: World):
    catalogue = world.catalogue()
    assert await catalogue.generation() == GENERATION
    world.generations.current = Generation("g2", "minilm", "r2", 4, "c1", "a1")
    await catalogue.refresh()
    assert await catalogue.generation() == world.generations.current


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": ""}, "EMPTY_QUERY"),
        ({"text": " \n\t"}, "EMPTY_QUERY"),
        ({"text": "x" * 8_193}, "QUERY_TOO_LONG"),
        ({"text": "x" * 1_000_000}, "QUERY_TOO_LONG"),
        ({"k": 0}, "INVALID_K"),
        ({"k": 201}, "INVALID_K"),
        ({"legs": ("vector", "psychic")}, "UNKNOWN_LEG"),
        ({"min_score": math.nan}, "INVALID_MIN_SCORE"),
        ({"min_score": 1.1}, "INVALID_MIN_SCORE"),
        ({"vector_weight": math.nan}, "INVALID_VECTOR_WEIGHT"),
        ({"vector_weight": -0.1}, "INVALID_VECTOR_WEIGHT"),
        ({"filter": {"colour": "red"}}, "UNDECLARED_FIELD"),
        ({"filter": {"year": {"$near": 3}}}, "INVALID_FILTER"),
    ],
)
async def test_a_query_that_cannot_be_right_is_refused(world: World, changes: dict[str, object], reason: str):
    with pytest.raises(InvalidRequest) as raised:
        await world.searches().search(ANN, replace(OFF, **changes))
    assert raised.value.reason == reason
    assert "xxxx" not in str(raised.value.metadata) + raised.value.message
    assert world.embedder.calls == 0


async def test_a_query_of_the_greatest_length_is_answered(world: World):
    assert (await world.searches().search(ANN, replace(OFF, text="word " * 1_638 + "xy"))).hits


@pytest.mark.parametrize(("count", "reason"), [(0, "EMPTY_BATCH"), (65, "BATCH_TOO_LARGE")])
async def test_batches_have_1_to_64_queries(world: World, count: int, reason: str):
    with pytest.raises(InvalidRequest) as raised:
        await world.searches().search_batch(ANN, [OFF] * count)
    assert raised.value.reason == reason


async def test_a_tenant_that_does_not_exist_is_an_error_until_it_is_created(world: World):
    stranger = replace(ANN, tenant_id="newcomer")
    searches = world.searches()
    with pytest.raises(NotFound) as raised:
        await searches.search(stranger, OFF)
    assert raised.value.reason == "UNKNOWN_TENANT"
    world.tenants.by_id["newcomer"] = Tenant("newcomer", {}, START)
    assert (await searches.search(stranger, OFF)).hits == ()


async def test_of_tenants_of_one_name_only_the_later_ones_documents_are_searched(world: World):
    world.add("guide", vector=0.9, lexical=3.0)
    searches = world.searches()
    world.tenants.by_id = {f"{TENANT}_1": Tenant(f"{TENANT}_1", {}, START)}
    # Both legs give rows of the earlier tenant, and its heads are there: none of it is the later one's.
    assert (await searches.search(ANN, replace(OFF, k=10))).hits == ()
    assert {each.tenant_id for each in world.vector.prefilters + world.lexical.prefilters} == {f"{TENANT}_1"}
    tokens = {each.access_tokens for each in world.vector.prefilters}
    assert tokens == {access_tokens(f"{TENANT}_1", ANN.principals)}


async def test_a_caller_without_the_scope_may_not_search(world: World):
    with pytest.raises(PermissionDenied):
        await world.searches().search(replace(ANN, scopes=frozenset()), OFF)


async def test_a_field_declared_a_moment_ago_can_be_filtered_on(world: World):
    searches = world.searches()
    await searches.search(ANN, OFF)
    world.tenants.by_id[TENANT] = Tenant(TENANT, {"colour": FieldType.STRING}, START)
    assert (await searches.search(ANN, replace(OFF, filter={"colour": "red"}))).hits


async def test_a_known_tenant_is_searched_while_the_registry_is_down(world: World):
    searches = world.searches()
    await searches.search(ANN, OFF)
    world.clock.advance(60)
    world.tenants.error = DependencyUnavailable("down")
    assert (await searches.search(ANN, OFF)).hits


async def test_the_tenant_is_read_once_in_a_while_not_for_every_search(world: World):
    searches = world.searches()
    for _ in range(3):
        await searches.search(ANN, OFF)
    assert world.tenants.calls == 1
    world.clock.advance(6)
    await searches.search(ANN, OFF)
    assert world.tenants.calls == 2
