"""Contract of the store of what pseudonyms stand for, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened

from corpus.adapters.elasticsearch.pseudonyms import ElasticsearchPseudonymStore
from corpus.adapters.memory.pseudonyms import MemoryPseudonymStore
from corpus.adapters.sqlite.pseudonyms import SqlitePseudonymStore
from corpus.domain import DocumentKey
from corpus.privacy.sealing import Sealed
from corpus.pseudonyms import PseudonymRecord, PseudonymStore

ADAPTERS = (
    MemoryPseudonymStore,
    SqlitePseudonymStore,
    pytest.param(ElasticsearchPseudonymStore, marks=pytest.mark.cluster),
)
KEY = DocumentKey("acme", "handbuch/é 標題.pdf")
VERSION = 2**63 - 1


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], PseudonymStore]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def store(open_store: Callable[[], PseudonymStore]) -> PseudonymStore:
    return open_store()


def record(
    document_id: str = KEY.document_id,
    *,
    tenant_id: str = "acme",
    version: int = VERSION,
    generation: str = "one",
    key_id: str = "0a0a0a0a",
    data: bytes = bytes(range(256)),
) -> PseudonymRecord:
    return PseudonymRecord(DocumentKey(tenant_id, document_id), version, generation, Sealed(key_id, data))


async def kept(store: PseudonymStore, which: PseudonymRecord) -> bool:
    return list(await store.get(which.key, which.chunks_version, [which.generation])) == [which]


async def test_a_record_comes_back_as_it_was_in_any_process(open_store: Callable[[], PseudonymStore]) -> None:
    await open_store().put(record())
    assert await kept(open_store(), record())


async def test_a_record_takes_the_place_of_the_one_before(store: PseudonymStore) -> None:
    await store.put(record())
    await store.put(record(key_id="0b0b0b0b", data=b"other"))
    await store.put(record(key_id="0b0b0b0b", data=b"other"))
    assert await kept(store, record(key_id="0b0b0b0b", data=b"other"))
    assert await store.counts() == {"0b0b0b0b": 1}


async def test_records_are_told_apart_by_each_part_of_their_place(store: PseudonymStore) -> None:
    places = [record(), record("b"), record(tenant_id="other"), record(version=1), record(generation="two")]
    for number, place in enumerate(places):
        await store.put(replace(place, sealed=Sealed("0a0a0a0a", bytes([number]))))
    for number, place in enumerate(places):
        assert await kept(store, replace(place, sealed=Sealed("0a0a0a0a", bytes([number]))))
    both = await store.get(KEY, VERSION, ["one", "two", "two", "unknown"])
    assert {each.generation for each in both} == {"one", "two"}
    assert len(both) == 2
    assert await store.get(KEY, VERSION, []) == []


async def test_a_deleted_record_is_gone_and_its_neighbours_stay(store: PseudonymStore) -> None:
    neighbours = [record("b"), record(tenant_id="other"), record(version=1), record(generation="two")]
    for each in (record(), *neighbours):
        await store.put(each)
    for _ in range(2):
        await store.delete(KEY, VERSION, "one")
    assert await store.get(KEY, VERSION, ["one"]) == []
    assert all([await kept(store, each) for each in neighbours])


async def test_a_dropped_tenant_takes_its_records_and_no_others(store: PseudonymStore) -> None:
    for each in (record(), record("b"), record(tenant_id="acme2")):
        await store.put(each)
    for _ in range(2):
        await store.drop_tenant("acme")
    assert await store.counts() == {"0a0a0a0a": 1}
    assert await kept(store, record(tenant_id="acme2"))


async def test_records_of_other_keys_are_found_whatever_their_names(store: PseudonymStore) -> None:
    for number, key_id in enumerate(("00000000", "0a0a0a0a", "0a0a0a0b", "ffffffff", "0a0a0a0a")):
        await store.put(record(f"d{number}", key_id=key_id))
    found = await store.sealed_otherwise("0a0a0a0a", 10)
    assert sorted(each.key.document_id for each in found) == ["d0", "d2", "d3"]
    assert all([await kept(store, each) for each in found])
    assert len(await store.sealed_otherwise("0a0a0a0a", 2)) == 2
    assert await store.sealed_otherwise("0a0a0a0a", 0) == []
    assert await store.counts() == {"00000000": 1, "0a0a0a0a": 2, "0a0a0a0b": 1, "ffffffff": 1}


async def test_a_record_is_sealed_anew_only_as_it_was_read(store: PseudonymStore) -> None:
    anew = Sealed("0b0b0b0b", b"anew")
    await store.put(record())
    assert not await store.replace(record(data=b"not this"), anew)
    assert await store.replace(record(), anew)
    assert not await store.replace(record(), anew)
    assert await kept(store, replace(record(), sealed=anew))


async def test_what_was_forgotten_meanwhile_is_not_brought_back(store: PseudonymStore) -> None:
    await store.put(record())
    await store.delete(KEY, VERSION, "one")
    assert not await store.replace(record(), Sealed("0b0b0b0b", b"anew"))
    assert await store.counts() == {}


async def test_of_many_who_seal_anew_at_once_one_does(open_store: Callable[[], PseudonymStore]) -> None:
    stores = [open_store() for _ in range(3)]
    await stores[0].put(record())
    written = await asyncio.gather(
        *(stores[n % 3].replace(record(), Sealed("0b0b0b0b", bytes([n]))) for n in range(12))
    )
    assert sum(written) == 1
