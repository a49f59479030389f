"""What only heads, tenants and generations in Elasticsearch can get wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation
from tests.contract.corpus_samples import NOW, head, key, tombstone

from chassis.elasticsearch.client import Store, open_store
from chassis.elasticsearch.indexes import differences
from chassis.endpoints import ElasticsearchEndpoint
from chassis.errors import DependencyUnavailable, FailedPrecondition
from corpus.adapters.elasticsearch import generations, heads, paging, tenants
from corpus.adapters.elasticsearch.generations import ElasticsearchGenerations
from corpus.adapters.elasticsearch.heads import ElasticsearchHeads
from corpus.adapters.elasticsearch.tenants import ElasticsearchTenants
from corpus.domain import FieldType, Generation
from corpus.ports import HeadCounts, PutOutcome

pytestmark = pytest.mark.cluster

SPECS = (*heads.SPECS, *tenants.SPECS, *generations.SPECS)


@pytest.fixture
async def open_connection() -> AsyncIterator[Callable[[], Store]]:
    async with elasticsearch_installation(SPECS) as opener:
        yield opener


async def test_the_indexes_are_as_specified(open_connection: Callable[[], Store]) -> None:
    for spec in SPECS:
        assert await differences(open_connection(), spec) == []


async def test_lists_and_drops_go_through_all_pages(
    open_connection: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "_PAGE", 3)
    store = open_connection()
    authority, registry = ElasticsearchHeads(store), ElasticsearchTenants(store)
    ids = [f"{n:02}" for n in range(10)]
    await asyncio.gather(*(authority.put(head(each, chunk_count=2**40)) for each in [*ids, "other"]))
    await asyncio.gather(*(registry.create(f"t{each}", {"a.b": FieldType.NUMBER}, at=NOW) for each in ids))
    assert [each.key.document_id for each in await authority.list("acme", limit=10)] == ids
    assert [each.key.document_id for each in await authority.list("acme", limit=7)] == ids[:7]
    assert [each.tenant_id for each in await registry.list()] == [f"t{each}" for each in ids]
    assert await authority.counts("acme") == HeadCounts(11, 11 * 2**40, 11 * 400)
    await authority.drop_tenant("acme")
    assert await authority.counts("acme") == HeadCounts(0, 0, 0)


async def test_a_head_that_comes_while_a_tombstone_of_its_version_is_purged_stays(
    open_connection: Callable[[], Store],
) -> None:
    purger, writer = ElasticsearchHeads(open_connection()), ElasticsearchHeads(open_connection())
    for n in range(30):
        await writer.put(tombstone(f"{n}", version=3))
        await asyncio.gather(purger.purge(key(f"{n}"), 3), writer.put(head(f"{n}", version=3)))
        assert await purger.get(key(f"{n}")) == head(f"{n}", version=3)


async def test_activations_at_the_same_time_leave_one_whole_generation(open_connection: Callable[[], Store]) -> None:
    made = [Generation(f"g{n}", f"model-{n}", "r", n, "c", "a") for n in range(1, 9)]
    registries = [ElasticsearchGenerations(open_connection()) for _ in made]
    await asyncio.gather(*(registry.activate(each) for registry, each in zip(registries, made, strict=True)))
    assert await registries[0].active() in made


async def test_a_missing_index_is_named_and_never_made_in_passing() -> None:
    async with elasticsearch_installation(()) as opener:
        store = opener()
        for call in (
            ElasticsearchHeads(store).put(head()),
            ElasticsearchHeads(store).get(key()),
            ElasticsearchHeads(store).list("acme"),
            ElasticsearchHeads(store).drop_tenant("acme"),
            ElasticsearchTenants(store).create("acme", {}, at=NOW),
            ElasticsearchTenants(store).delete("acme"),
            ElasticsearchGenerations(store).activate(Generation("g1", "m", "r", 3, "c", "a")),
        ):
            with pytest.raises(FailedPrecondition) as caught:
                await call
            assert caught.value.reason == "INDEX_MISSING"


async def test_a_server_that_is_not_there_is_a_dependency_error() -> None:
    store = open_store(ElasticsearchEndpoint(url="http://127.0.0.1:9"))
    try:
        for call in (ElasticsearchHeads(store).put(head()), ElasticsearchHeads(store).get_many("acme", ["doc"])):
            with pytest.raises(DependencyUnavailable):
                await call
    finally:
        await store.close()


async def test_what_a_purge_leaves_behind_refuses_no_head_for_long(open_connection: Callable[[], Store]) -> None:
    authority = ElasticsearchHeads(open_connection())
    for _ in range(5):
        await authority.put(tombstone(version=100))
        await authority.purge(key(), 100)
        assert await authority.put(head(version=1)) is PutOutcome.APPLIED
