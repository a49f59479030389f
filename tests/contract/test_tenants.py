"""Contract of the registry of tenants, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW

from chassis.errors import FailedPrecondition, InvalidRequest
from corpus.adapters.elasticsearch.tenants import ElasticsearchTenants
from corpus.adapters.memory.tenants import MemoryTenants
from corpus.adapters.sqlite.tenants import SqliteTenants
from corpus.domain import FieldType, Tenant
from corpus.ports import Tenants

ADAPTERS = (MemoryTenants, SqliteTenants, pytest.param(ElasticsearchTenants, marks=pytest.mark.cluster))


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_tenants(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Tenants]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def tenants(open_tenants: Callable[[], Tenants]) -> Tenants:
    return open_tenants()


async def test_a_created_tenant_is_known_everywhere(open_tenants: Callable[[], Tenants]) -> None:
    fields = {field_type.value: field_type for field_type in FieldType}
    created = await open_tenants().create("acme", fields, at=NOW)
    assert created == Tenant("acme", fields, NOW)
    assert await open_tenants().get("acme") == created


async def test_what_is_being_rebuilt_is_noted_beside_the_fields(open_tenants: Callable[[], Tenants]) -> None:
    tenants, other = open_tenants(), open_tenants()
    await tenants.set_rebuilding("acme", "vector", True)
    assert await tenants.get("acme") is None
    await tenants.create("acme", {}, at=NOW)
    for _ in range(2):
        await asyncio.gather(*(tenants.set_rebuilding("acme", store, True) for store in ("vector", "heads")))
    await other.create("acme", {"a": FieldType.STRING}, at=NOW)
    expected = Tenant("acme", {"a": FieldType.STRING}, NOW, frozenset({"vector", "heads"}))
    assert await other.get("acme") == expected
    assert list(await other.list()) == [expected]
    for _ in range(2):
        await other.set_rebuilding("acme", "heads", False)
    known = await tenants.get("acme")
    assert known is not None
    assert known.rebuilding == {"vector"}
    await tenants.delete("acme")
    assert (await tenants.create("acme", {}, at=NOW)).rebuilding == frozenset()


async def test_an_unknown_tenant_is_none(tenants: Tenants) -> None:
    assert await tenants.get("acme") is None
    assert list(await tenants.list()) == []


async def test_creating_again_changes_nothing_but_adds_fields(tenants: Tenants) -> None:
    await tenants.create("acme", {"a": FieldType.STRING}, at=NOW)
    for _ in range(2):
        again = await tenants.create("acme", {"b": FieldType.NUMBER}, at=NOW + timedelta(days=1))
        assert again == Tenant("acme", {"a": FieldType.STRING, "b": FieldType.NUMBER}, NOW)
        assert await tenants.get("acme") == again


@pytest.mark.parametrize(
    "fields",
    [
        {"a": FieldType.NUMBER, "new": FieldType.STRING},
        {"title": FieldType.NUMBER, "new": FieldType.STRING},
    ],
)
async def test_a_field_of_another_type_is_refused_and_changes_nothing(
    tenants: Tenants, fields: dict[str, FieldType]
) -> None:
    await tenants.create("acme", {"a": FieldType.STRING}, at=NOW)
    with pytest.raises(FailedPrecondition) as caught:
        await tenants.create("acme", fields, at=NOW)
    assert caught.value.reason == "FIELD_TYPE_CONFLICT"
    assert await tenants.get("acme") == Tenant("acme", {"a": FieldType.STRING}, NOW)
    with pytest.raises(FailedPrecondition):
        await tenants.create("fresh", {"title": FieldType.NUMBER}, at=NOW)
    assert await tenants.get("fresh") is None


async def test_fields_that_are_added_at_the_same_time_all_stay(open_tenants: Callable[[], Tenants]) -> None:
    registries = [open_tenants() for _ in range(3)]
    await asyncio.gather(*(registries[i % 3].create("acme", {f"f{i}": FieldType.STRING}, at=NOW) for i in range(12)))
    found = await registries[0].get("acme")
    assert found is not None
    assert len(found.fields) == 12


async def test_tenants_have_their_own_fields_and_are_listed_by_id(tenants: Tenants) -> None:
    for tenant_id, field_type in (("b", FieldType.NUMBER), ("a", FieldType.STRING), ("a-1", FieldType.BOOLEAN)):
        await tenants.create(tenant_id, {"x": field_type}, at=NOW)
    assert [(t.tenant_id, t.fields["x"]) for t in await tenants.list()] == [
        ("a", FieldType.STRING),
        ("a-1", FieldType.BOOLEAN),
        ("b", FieldType.NUMBER),
    ]


async def test_a_deleted_tenant_is_forgotten_with_its_fields(tenants: Tenants) -> None:
    await tenants.create("acme", {"a": FieldType.STRING}, at=NOW)
    await tenants.create("other", {}, at=NOW)
    for _ in range(2):
        await tenants.delete("acme")
    assert await tenants.get("acme") is None
    assert [t.tenant_id for t in await tenants.list()] == ["other"]
    assert (await tenants.create("acme", {"a": FieldType.NUMBER}, at=NOW)).fields == {"a": FieldType.NUMBER}


async def test_no_two_tenants_of_a_name_have_one_id(open_tenants: Callable[[], Tenants]) -> None:
    tenants, other = open_tenants(), open_tenants()
    assert await tenants.named("acme") is None
    assert await tenants.latest_id("acme") == "acme"
    ids = []
    for n in range(3):
        made = await tenants.create("acme", {f"f{n}": FieldType.STRING}, at=NOW)
        assert made.fields == {f"f{n}": FieldType.STRING}
        assert made.name == "acme"
        ids.append(made.tenant_id)
        for registry in (tenants, other):
            assert [await registry.get(each) for each in ids] == [None] * n + [made]
            assert await registry.named("acme") == made
            assert await registry.latest_id("acme") == made.tenant_id
            assert list(await registry.list()) == [made]
        assert await other.create("acme", {}, at=NOW + timedelta(days=1)) == made
        await other.set_rebuilding(made.tenant_id, "heads", True)
        await tenants.delete(made.tenant_id)
        for registry in (tenants, other):
            assert await registry.named("acme") is None
            assert await registry.latest_id("acme") == made.tenant_id
            assert list(await registry.list()) == []
    assert ids == ["acme", "acme_1", "acme_2"]


async def test_what_is_done_late_to_a_tenant_that_is_gone_does_nothing_to_a_later_one(tenants: Tenants) -> None:
    await tenants.create("acme", {}, at=NOW)
    await tenants.delete("acme")
    later = await tenants.create("acme", {}, at=NOW)
    await tenants.delete("acme")
    await tenants.set_rebuilding("acme", "vector", True)
    assert await tenants.named("acme") == later
    assert await tenants.get("acme_1") == later
    assert await tenants.get("acme") is None


async def test_an_id_with_a_number_is_no_name(tenants: Tenants) -> None:
    for _ in range(2):
        await tenants.delete((await tenants.create("acme", {}, at=NOW)).tenant_id)
    await tenants.create("acme", {}, at=NOW)
    for taken in ("acme_2", "acme_1"):
        assert await tenants.named(taken) is None
        with pytest.raises(InvalidRequest):
            await tenants.latest_id(taken)
        with pytest.raises(InvalidRequest):
            await tenants.create(taken, {}, at=NOW)


async def test_of_creations_and_deletions_at_the_same_time_none_uses_an_id_again(
    open_tenants: Callable[[], Tenants],
) -> None:
    registries = [open_tenants() for _ in range(3)]
    seen: list[set[str]] = [set() for _ in registries]

    async def again_and_again(registry: Tenants, gone: set[str]) -> None:
        for n in range(6):
            made = await registry.create("acme", {f"f{n}": FieldType.STRING}, at=NOW)
            assert made.tenant_id not in gone
            await registry.delete(made.tenant_id)
            assert await registry.get(made.tenant_id) is None
            gone.add(made.tenant_id)

    await asyncio.gather(*map(again_and_again, registries, seen))
    used = set.union(*seen)
    assert await registries[0].latest_id("acme") in used
    assert len(used) >= 6


async def test_a_long_name_is_used_once_and_refused_without_a_change(tenants: Tenants) -> None:
    name = "a" * 63
    await tenants.create(name, {}, at=NOW)
    await tenants.delete(name)
    with pytest.raises(FailedPrecondition) as caught:
        await tenants.create(name, {}, at=NOW)
    assert caught.value.reason == "TENANT_NAME_SPENT"
    assert await tenants.named(name) is None
    assert await tenants.latest_id(name) == name
