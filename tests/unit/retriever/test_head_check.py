"""What heads forbid is never served, whenever it was forbidden."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.retriever.fakes import ANN, START, TENANT, World

from chassis.errors import DependencyUnavailable
from corpus.access import access_tokens
from corpus.domain import AccessPolicy, HeadState
from retriever.domain import CitationKey, Query, RerankMode

OFF = Query("how", rerank=RerankMode.OFF)

FORBIDDEN = {
    "deleted": {"state": HeadState.DELETED},
    "on hold": {"held": True},
    "superseded": {"chunks_version": 3},
    "expired": {"expires_at": START},
    "revoked": {"access": AccessPolicy(access_tokens(TENANT, ["group:sales"]))},
    "open to nobody": {"access": AccessPolicy(frozenset())},
    "above the clearance": {"access": AccessPolicy(access_tokens(TENANT, ["public"]), 2)},
    "open to a group with a longer name": {"access": AccessPolicy(access_tokens(TENANT, ["group:eng-admins"]))},
    "open to a namesake in capitals": {"access": AccessPolicy(access_tokens(TENANT, ["user:Ann"]))},
    "open to the same group of another tenant": {"access": AccessPolicy(access_tokens("other", ["group:eng"]))},
}
ALLOWED = {
    "open to the caller by name": {"access": AccessPolicy(access_tokens(TENANT, ["user:ann"]))},
    "open to one of his groups": {"access": AccessPolicy(access_tokens(TENANT, ["group:eng"]), 1)},
    "not expired yet": {"expires_at": START + timedelta(seconds=1)},
    "newer than its chunks": {"version": 99},
    "written while another generation was active": {"generation": "g0"},
}


@pytest.fixture
def world() -> World:
    world = World()
    world.add("good", vector=0.8, lexical=5.0)
    world.add("suspect", vector=0.9, lexical=9.0)
    return world


async def shown(world: World, query: Query = OFF) -> list[str]:
    return [hit.head.key.document_id for hit in (await world.searches().search(ANN, query)).hits]


@pytest.mark.parametrize("changes", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_a_document_is_not_served_when_it_is(world: World, changes: dict[str, object]):
    assert await shown(world) == ["suspect", "good"]
    world.change_head("suspect", **changes)
    result = await world.searches().search(ANN, OFF)
    assert [hit.head.key.document_id for hit in result.hits] == ["good"]
    assert result.dropped_by_head_check == 1


@pytest.mark.parametrize("changes", ALLOWED.values(), ids=ALLOWED.keys())
async def test_a_document_is_served_when_it_is(world: World, changes: dict[str, object]):
    world.change_head("suspect", **changes)
    assert await shown(world) == ["suspect", "good"]


async def test_a_chunk_without_a_head_is_not_served(world: World):
    del world.heads.by_id["suspect"]
    assert await shown(world) == ["good"]


async def test_a_candidate_of_another_version_than_the_head_s_is_not_served(world: World):
    world.vector.ranked = [each._replace(chunks_version=1) for each in world.vector.ranked]
    world.lexical.ranked = []
    assert await shown(world) == []


async def test_a_document_that_expires_during_the_search_is_not_served(world: World):
    world.change_head("suspect", expires_at=START + timedelta(seconds=1))

    async def a_second_passes() -> None:
        world.clock.advance(1)

    world.heads.before = a_second_passes
    assert await shown(world) == ["good"]


async def test_a_document_revoked_while_the_legs_search_is_not_served(world: World):
    async def revoke() -> None:
        world.change_head("suspect", **FORBIDDEN["revoked"])

    world.lexical.before = revoke
    assert await shown(world) == ["good"]


async def test_a_document_revoked_while_payloads_are_read_is_not_served(world: World):
    async def revoke() -> None:
        world.change_head("suspect", **FORBIDDEN["revoked"])

    world.chunks.before = revoke
    assert await shown(world) == ["good"]


@pytest.mark.parametrize("changes", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_a_document_is_not_served_when_reranking_finds_it(world: World, changes: dict[str, object]):
    async def change() -> None:
        world.change_head("suspect", **changes)

    world.reranker.before = change
    result = await world.searches().search(ANN, replace(OFF, rerank=RerankMode.ON))
    assert [hit.head.key.document_id for hit in result.hits] == ["good"]
    assert result.dropped_by_head_check == 1


async def test_a_document_deleted_while_sections_are_read_is_not_served(world: World):
    async def delete() -> None:
        world.change_head("suspect", state=HeadState.DELETED)

    world.chunks.before_sections = delete
    assert await shown(world, replace(OFF, expand_sections=True)) == ["good"]


async def test_heads_are_the_last_store_read_and_read_once_when_nothing_takes_long(world: World):
    order: list[str] = []
    for name in ("vector", "lexical", "chunks", "heads"):

        async def note(name: str = name) -> None:
            order.append(name)

        getattr(world, name).before = note
    await shown(world)
    assert order[-1] == "heads"
    assert order.count("heads") == 1


async def test_heads_are_read_again_when_time_has_passed_since(world: World):
    async def slow() -> None:
        world.clock.advance(0.03)

    world.heads.before = slow
    await shown(world)
    assert world.heads.calls == 2


async def test_nothing_is_served_when_heads_cannot_be_read(world: World):
    world.heads.error = DependencyUnavailable("down", retry_after_seconds=3.0)
    with pytest.raises(DependencyUnavailable) as raised:
        await shown(world)
    assert raised.value.reason == "HEADS_UNAVAILABLE"
    assert raised.value.retry_after_seconds == 3.0


async def test_nothing_is_served_when_heads_hang(world: World):
    world.heads.hang = True
    with pytest.raises(DependencyUnavailable) as raised:
        await shown(world)
    assert raised.value.retry_after_seconds


async def test_nothing_is_served_when_heads_cannot_be_read_again_before_the_reply(world: World):
    async def heads_go_down() -> None:
        world.heads.error = DependencyUnavailable("down")

    world.reranker.before = heads_go_down
    with pytest.raises(DependencyUnavailable):
        await shown(world, replace(OFF, rerank=RerankMode.ON))


async def test_dropped_candidates_are_replaced_from_further_down_the_lists(world: World):
    for number in range(40):
        world.add(f"stale-{number:02}", vector=0.95 - number / 1000, state=HeadState.DELETED)
    result = await world.searches().search(ANN, replace(OFF, k=2))
    assert [hit.head.key.document_id for hit in result.hits] == ["suspect", "good"]
    assert result.dropped_by_head_check == 40


async def test_legs_are_asked_for_more_once_when_too_many_candidates_were_dropped(world: World):
    for number in range(150):
        world.add(f"stale-{number:03}", vector=0.99 - number / 10_000, state=HeadState.DELETED)
    assert await shown(world, replace(OFF, k=2, legs=("vector",))) == ["suspect", "good"]
    assert world.vector.depths == [100, 400]
    assert world.embedder.calls == 1


async def test_a_tenant_that_has_fewer_than_k_passages_is_not_searched_twice(world: World):
    await shown(world)
    assert world.vector.depths == [100]


async def test_citations_come_back_with_text_only_for_those_who_may_read_them(world: World):
    keys = [CitationKey("suspect", 2, "suspect#0"), CitationKey("good", 2, "good#0")]
    citations = world.citations()
    both = await citations.resolve(ANN, keys)
    assert [each.stored.chunk.text for each in both if each.stored] == ["passage suspect#0", "passage good#0"]
    for changes in FORBIDDEN.values():
        before = world.heads.by_id["suspect"]
        world.change_head("suspect", **changes)
        first, second = await citations.resolve(ANN, keys)
        assert first.stored is None
        assert second.stored is not None
        world.heads.by_id["suspect"] = before


async def test_citations_with_a_wrong_key_look_like_those_that_may_not_be_read(world: World):
    wrong = [
        CitationKey("good", 2, "suspect#0"),
        CitationKey("good", 1, "good#0"),
        CitationKey("good", 2, "no such chunk"),
        CitationKey("no such document", 2, "good#0"),
    ]
    assert all(each.stored is None for each in await world.citations().resolve(ANN, wrong))


async def test_a_resolution_says_on_whose_access_and_which_generation_it_rests(world: World):
    keys = [CitationKey("good", 2, "good#0")]
    citations = world.citations()
    ann = await citations.resolution(ANN, keys)
    assert ann.generation == (await world.searches().search(ANN, OFF)).generation
    assert ann.access_fingerprint == (await citations.resolution(ANN, [])).access_fingerprint
    others = [replace(ANN, subject="bob"), replace(ANN, groups=frozenset({"other"})), replace(ANN, clearance=9)]
    assert (
        len({ann.access_fingerprint, *[(await citations.resolution(each, [])).access_fingerprint for each in others]})
        == 4
    )


async def test_citations_do_not_resolve_when_heads_cannot_be_read(world: World):
    world.heads.error = DependencyUnavailable("down")
    with pytest.raises(DependencyUnavailable):
        await world.citations().resolve(ANN, [CitationKey("good", 2, "good#0")])


async def test_legs_are_prefiltered_by_tenant_tokens_and_clearance(world: World):
    await shown(world)
    for prefilter in (*world.vector.prefilters, *world.lexical.prefilters):
        assert prefilter.tenant_id == TENANT
        assert prefilter.access_tokens == access_tokens(TENANT, ["public", "user:ann", "group:eng"])
        assert prefilter.clearance == 1
