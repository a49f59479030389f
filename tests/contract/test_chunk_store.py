"""Contract of the chunk store, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import GENERATION, document, key

from chassis.errors import DependencyUnavailable
from corpus.adapters.elasticsearch.chunk_store import ElasticsearchChunkStore
from corpus.adapters.memory.chunk_store import MemoryChunkStore
from corpus.adapters.sqlite.chunk_store import SqliteChunkStore
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.domain import StoredRow, VersionOrigin
from corpus.ports import ChunkStore, StoredChunk

ADAPTERS = (MemoryChunkStore, SqliteChunkStore, pytest.param(ElasticsearchChunkStore, marks=pytest.mark.cluster))
OTHER_GENERATION = "gffff"


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], ChunkStore]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def store(open_store: Callable[[], ChunkStore]) -> ChunkStore:
    return open_store()


async def test_chunks_come_back_with_their_documents_description(store: ChunkStore) -> None:
    stored = document()
    await store.put(stored)
    ids = [chunk.chunk_id for chunk in stored.chunks]
    assert await store.get_chunks("acme", [*ids, "unknown"]) == {
        chunk.chunk_id: StoredChunk(
            chunk, stored.title, stored.doc_type, stored.uri, stored.language, stored.metadata, stored.updated_at
        )
        for chunk in stored.chunks
    }
    assert await store.get_chunks("acme", []) == {}


async def test_sections_come_back_by_version_and_ordinal(store: ChunkStore) -> None:
    one, other = document(version=1, text="old"), document(version=2, text="new")
    await store.put(one)
    await store.put(other)
    wanted = [
        ("doc", 1, GENERATION, 1),
        ("doc", 2, GENERATION, 0),
        ("doc", 2, GENERATION, 9),
        ("doc", 3, GENERATION, 0),
    ]
    wanted += [("doc", 1, OTHER_GENERATION, 0), ("nothing", 1, GENERATION, 0)]
    assert await store.get_sections("acme", wanted) == {wanted[0]: one.sections[1], wanted[1]: other.sections[0]}
    assert await store.get_sections("acme", []) == {}


async def test_chunks_of_a_version_come_in_order(store: ChunkStore) -> None:
    stored = document(chunks=12)
    await store.put(stored)
    assert list(await store.chunks_of(key(), 1, GENERATION)) == list(stored.chunks)
    assert list(await store.chunks_of(key(), 2, GENERATION)) == []
    assert list(await store.chunks_of(key(), 1, OTHER_GENERATION)) == []


async def test_a_version_comes_back_as_it_was_put(store: ChunkStore) -> None:
    origin = VersionOrigin("documents/acme/ab/abc", "a" * 64, 12, "é.md", "text/markdown", "de")
    for stored in (replace(document(chunks=12), origin=origin), document(version=2, chunks=0, sections=0)):
        await store.put(stored)
        found = await store.get_version(key(), stored.chunks_version, GENERATION)
        assert found is not None
        assert replace(found, sections=list(found.sections), chunks=list(found.chunks)) == stored
    assert await store.get_version(key(), 1, OTHER_GENERATION) is None
    assert [each.object_key for each in await store.stored_versions("acme")] == [origin.object_key, ""]
    await store.put(document())
    found = await store.get_version(key(), 1, GENERATION)
    assert found is not None
    assert found.origin is None
    await store.delete(key(), 1, GENERATION)
    assert await store.get_version(key(), 1, GENERATION) is None


async def test_the_rows_of_versions_say_what_they_hold(store: ChunkStore) -> None:
    await store.put(document(chunks=2))
    await store.put(document(version=2, chunks=1))
    await store.put(document("other", chunks=1, generation=OTHER_GENERATION))
    await store.put(document("third", chunks=1))
    await store.put(document(tenant_id="globex", chunks=9))
    wanted = [("doc", 1, GENERATION), ("doc", 2, GENERATION), ("other", 1, OTHER_GENERATION), ("third", 1, "g9")]
    assert sorted(await store.rows_of("acme", [*wanted, ("nothing", 1, GENERATION)])) == [
        StoredRow(f"doc/1/{GENERATION}/0", "doc", 1, GENERATION, "f" * 64),
        StoredRow(f"doc/1/{GENERATION}/1", "doc", 1, GENERATION, "f" * 64),
        StoredRow(f"doc/2/{GENERATION}/0", "doc", 2, GENERATION, "f" * 64),
        StoredRow(f"other/1/{OTHER_GENERATION}/0", "other", 1, OTHER_GENERATION, "f" * 64),
    ]
    assert list(await store.rows_of("acme", [])) == []


async def test_putting_again_replaces_everything_of_that_version(store: ChunkStore) -> None:
    await store.put(document(chunks=6, sections=4, text="old"))
    await store.put(document(version=2, chunks=2))
    for _ in range(2):
        await store.put(document(chunks=3, sections=1, text="new"))
        assert [c.text[:3] for c in await store.chunks_of(key(), 1, GENERATION)] == ["new"] * 3
        assert await store.get_chunks("acme", [f"doc/1/{GENERATION}/5"]) == {}
        wanted = [("doc", 1, GENERATION, ordinal) for ordinal in range(4)]
        assert [section.text for section in (await store.get_sections("acme", wanted)).values()] == ["new § 0"]
    assert len(await store.chunks_of(key(), 2, GENERATION)) == 2


async def test_a_document_without_chunks_is_a_stored_version(store: ChunkStore) -> None:
    await store.put(document(chunks=0, sections=0))
    assert list(await store.versions_of(key())) == [(1, GENERATION)]
    assert list(await store.chunks_of(key(), 1, GENERATION)) == []


async def test_versions_are_listed_oldest_first(store: ChunkStore) -> None:
    for version in (10, 2, 9):
        await store.put(document(version=version))
    await store.put(document(version=9, generation=OTHER_GENERATION))
    await store.put(document("another", version=1))
    assert list(await store.versions_of(key())) == [
        (2, GENERATION),
        (9, GENERATION),
        (9, OTHER_GENERATION),
        (10, GENERATION),
    ]
    assert list(await store.versions_of(key("nothing"))) == []


async def test_stored_versions_pages_through_whole_documents(store: ChunkStore) -> None:
    expected = []
    for document_id, versions in (("B", 1), ("a", 3), ("b", 2), ("é", 1)):
        for version in range(1, versions + 1):
            await store.put(document(document_id, version, chunks=1))
            expected.append((document_id, version, GENERATION))
    for limit in (1, 2, 3, 100):
        found, after = [], ""
        while page := await store.stored_versions("acme", after=after, limit=limit):
            after = page[-1].document_id
            found += [(row.document_id, row.chunks_version, row.generation) for row in page]
        assert found == expected
    assert len(await store.stored_versions("acme", limit=2)) == 4  # "a" is not cut
    assert list(await store.stored_versions("other")) == []


async def test_storing_again_renews_the_time_of_storage(store: ChunkStore) -> None:
    before = datetime.now(UTC)
    times = []
    for _ in range(2):
        await store.put(document())
        times += [row.stored_at for row in await store.stored_versions("acme")]
    assert before <= times[0] < times[1] <= datetime.now(UTC)


async def test_deleting_removes_one_version_and_is_idempotent(store: ChunkStore) -> None:
    for version in (1, 2):
        await store.put(document(version=version))
    await store.put(document(version=1, generation=OTHER_GENERATION))
    for _ in range(2):
        await store.delete(key(), 1, GENERATION)
    assert list(await store.versions_of(key())) == [(1, OTHER_GENERATION), (2, GENERATION)]
    assert await store.get_chunks("acme", [f"doc/1/{GENERATION}/0"]) == {}
    assert await store.get_sections("acme", [("doc", 1, GENERATION, 0)]) == {}
    assert len(await store.get_chunks("acme", [f"doc/2/{GENERATION}/0", f"doc/1/{OTHER_GENERATION}/0"])) == 2
    assert list(await store.chunks_of(key(), 1, GENERATION)) == []


async def test_no_tenant_sees_another_ones_chunks_even_with_their_ids(store: ChunkStore) -> None:
    await store.put(document(text="ours"))
    await store.put(document(tenant_id="other", text="theirs"))
    await store.put(document("secret", tenant_id="other"))
    ids = [f"doc/1/{GENERATION}/0", f"secret/1/{GENERATION}/0"]
    assert {i: c.chunk.text[:4] for i, c in (await store.get_chunks("acme", ids)).items()} == {ids[0]: "ours"}
    assert await store.get_sections("acme", [("secret", 1, GENERATION, 0)]) == {}
    assert [row.document_id for row in await store.stored_versions("acme")] == ["doc"]
    for _ in range(2):
        await store.drop_tenant("acme")
    assert await store.get_chunks("acme", ids) == {}
    assert len(await store.get_chunks("other", ids)) == 2


async def test_what_was_put_is_visible_to_other_processes(open_store: Callable[[], ChunkStore]) -> None:
    writer, reader = open_store(), open_store()
    await writer.put(document(chunks=1))
    assert len(await reader.get_chunks("acme", [f"doc/1/{GENERATION}/0"])) == 1


async def test_a_large_document_is_stored_whole_while_others_write(store: ChunkStore) -> None:
    large = document("large", chunks=2345, sections=1100)
    await asyncio.gather(store.put(large), *(store.put(document(f"{i}")) for i in range(20)))
    assert [c.ordinal for c in await store.chunks_of(key("large"), 1, GENERATION)] == list(range(2345))
    assert len(await store.get_sections("acme", [("large", 1, GENERATION, i) for i in range(1100)])) == 1100
    await store.put(document("large", chunks=700, sections=10))
    assert len(await store.chunks_of(key("large"), 1, GENERATION)) == 700


# SQLite only


async def test_a_version_that_is_removed_while_it_is_stored_is_an_error_and_leaves_no_row(tmp_path: Path) -> None:
    database = CorpusDatabase(tmp_path / "corpus.sqlite")
    store = SqliteChunkStore(database)
    putting = asyncio.ensure_future(store.put(document(chunks=20_000)))
    while not await store.versions_of(key()):
        await asyncio.sleep(0)
    await store.delete(key(), 1, GENERATION)
    with pytest.raises(DependencyUnavailable) as caught:
        await putting
    assert caught.value.reason == "VERSION_REMOVED"
    assert await database.read(lambda c: c.execute("SELECT count(*) FROM chunks").fetchone()) == (0,)
    await database.close()


async def _sealed(store: ChunkStore) -> dict[tuple[int, str], bool]:
    return {(each.chunks_version, each.generation): each.sealed for each in await store.stored_versions("acme")}


async def test_a_sealed_version_is_listed_as_sealed_until_it_is_stored_again(
    open_store: Callable[[], ChunkStore],
) -> None:
    store, reader = open_store(), open_store()
    one, other = document(version=1), document(version=2)
    elsewhere = replace(one, generation=OTHER_GENERATION, chunks=[])
    for each in (one, other, elsewhere):
        await store.put(each)
    for _ in range(2):
        await store.seal(one.key, 1, GENERATION)
        assert await _sealed(reader) == {(1, GENERATION): True, (1, OTHER_GENERATION): False, (2, GENERATION): False}
    assert await reader.get_version(one.key, 1, GENERATION) == one
    await store.put(one)
    assert not any((await _sealed(reader)).values())


async def test_a_version_that_is_not_stored_is_not_sealed(store: ChunkStore) -> None:
    await store.seal(key("doc"), 1, GENERATION)
    assert await _sealed(store) == {}
