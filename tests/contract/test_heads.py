"""Contract of the heads, over every adapter."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW, head, key, tombstone

from chassis.errors import DependencyUnavailable
from corpus.adapters.elasticsearch.heads import ElasticsearchHeads
from corpus.adapters.memory.heads import MemoryHeads
from corpus.adapters.sqlite import heads as sqlite_heads
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.sqlite.heads import SqliteHeads
from corpus.domain import MAX_VERSION, AccessPolicy, Head, HeadState
from corpus.ports import HeadCounts, Heads, PutOutcome

ADAPTERS = (MemoryHeads, SqliteHeads, pytest.param(ElasticsearchHeads, marks=pytest.mark.cluster))


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_heads(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Heads]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def heads(open_heads: Callable[[], Heads]) -> Heads:
    return open_heads()


@pytest.mark.parametrize("written", [head(), tombstone(), head(expires_at=None, metadata={}, principals=())])
async def test_a_head_comes_back_as_it_was_put(heads: Heads, written: Head) -> None:
    assert await heads.put(written) is PutOutcome.APPLIED
    assert await heads.get(written.key) == written
    assert await heads.get_many("acme", ["doc"]) == {"doc": written}
    assert await heads.list("acme", include_deleted=True) == [written]


async def test_a_document_that_was_never_written_has_no_head(heads: Heads) -> None:
    assert await heads.get(key("nothing")) is None
    assert await heads.get_many("acme", ["nothing", "else"]) == {}
    assert await heads.get_many("acme", []) == {}
    assert await heads.list("acme") == []


async def test_a_smaller_version_never_overwrites_a_greater_one(heads: Heads) -> None:
    await heads.put(head(version=5, title="five"))
    assert await heads.put(head(version=4, title="four")) is PutOutcome.SUPERSEDED
    assert (await heads.get_many("acme", ["doc"]))["doc"].title == "five"
    assert await heads.put(head(version=6, title="six")) is PutOutcome.APPLIED
    assert (await heads.get_many("acme", ["doc"]))["doc"].title == "six"


async def test_the_same_version_may_be_written_again(heads: Heads) -> None:
    for title in ("one", "one", "two"):
        assert await heads.put(head(version=5, title=title)) is PutOutcome.APPLIED
        assert (await heads.get_many("acme", ["doc"]))["doc"].title == title


async def test_versions_compare_as_numbers_up_to_the_greatest(heads: Heads) -> None:
    await heads.put(head(version=9))
    assert await heads.put(head(version=10)) is PutOutcome.APPLIED
    assert await heads.put(head(version=MAX_VERSION)) is PutOutcome.APPLIED
    assert await heads.put(head(version=MAX_VERSION - 1)) is PutOutcome.SUPERSEDED


async def test_a_late_update_after_a_delete_stays_deleted_and_a_newer_one_brings_it_back(heads: Heads) -> None:
    await heads.put(head(version=1))
    await heads.put(tombstone(version=3))
    assert await heads.put(head(version=2)) is PutOutcome.SUPERSEDED
    found = await heads.get(key())
    assert found is not None
    assert found.state is HeadState.DELETED
    assert await heads.put(head(version=4)) is PutOutcome.APPLIED


async def test_concurrent_writers_leave_the_greatest_version(open_heads: Callable[[], Heads]) -> None:
    writers = [open_heads() for _ in range(3)]
    versions = list(range(1, 61))
    random.Random(7).shuffle(versions)
    outcomes = await asyncio.gather(*(writers[v % 3].put(head(version=v, title=f"{v}")) for v in versions))
    found = await writers[0].get(key())
    assert found is not None
    assert (found.version, found.title) == (60, "60")
    assert outcomes[versions.index(60)] is PutOutcome.APPLIED


async def test_a_head_is_visible_to_every_reader_as_soon_as_put_returned(open_heads: Callable[[], Heads]) -> None:
    writer, reader = open_heads(), open_heads()
    for version in range(1, 30):
        access = AccessPolicy(frozenset({f"{version}"}))
        await writer.put(head(version=version, access=access))
        assert (await reader.get_many("acme", ["doc"]))["doc"].access == access
        found = await reader.get(key())
        assert found is not None
        assert found.version == version


async def test_get_many_gives_known_heads_tombstones_included(heads: Heads) -> None:
    await heads.put(head("a"))
    await heads.put(tombstone("b"))
    found = await heads.get_many("acme", ["a", "b", "c", "a"])
    assert found == {"a": head("a"), "b": tombstone("b")}


async def test_ids_are_compared_byte_for_byte(heads: Heads) -> None:
    ids = ["Bob@X", "bob@x", "bob@x ", "é", "e\u0301", 'a"b', "a\\b", "%", "_", "日本"]
    for document_id in ids:
        await heads.put(head(document_id))
    found = await heads.get_many("acme", ids)
    assert {i: h.key.document_id for i, h in found.items()} == {i: i for i in ids}
    assert await heads.get_many("acme", ["BOB@X", "É", "A"]) == {}


async def test_no_tenant_sees_another_ones_heads(heads: Heads) -> None:
    await heads.put(head("doc", tenant_id="acme", title="ours"))
    await heads.put(head("doc", tenant_id="other", title="theirs", version=9))
    await heads.put(head("only-theirs", tenant_id="other"))
    for _ in range(2):
        assert {i: h.title for i, h in (await heads.get_many("acme", ["doc", "only-theirs"])).items()} == {
            "doc": "ours"
        }
        assert {i: h.title for i, h in (await heads.get_many("other", ["doc"])).items()} == {"doc": "theirs"}
    assert [h.key.document_id for h in await heads.list("acme")] == ["doc"]
    assert (await heads.counts("acme")).documents == 1
    await heads.drop_tenant("acme")
    await heads.drop_tenant("acme")
    assert await heads.get(key("doc", "acme")) is None
    assert await heads.get(key("doc", "other")) is not None


async def test_list_pages_in_byte_order_of_ids(heads: Heads) -> None:
    ids = ["Z", "a", "a/1", "a/2", "ab", "b", "é", "\U0001f600", "\uff01"]
    for document_id in ids:
        await heads.put(head(document_id))
    in_order = sorted(ids, key=str.encode)
    paged: list[str] = []
    while page := await heads.list("acme", after=paged[-1] if paged else "", limit=2):
        assert len(page) <= 2
        paged += [h.key.document_id for h in page]
    assert paged == in_order
    assert [h.key.document_id for h in await heads.list("acme", prefix="a/")] == ["a/1", "a/2"]
    assert [h.key.document_id for h in await heads.list("acme", prefix="a", after="a/1")] == ["a/2", "ab"]
    assert [h.key.document_id for h in await heads.list("acme", prefix="a", after="b")] == []
    assert await heads.list("acme", limit=0) == []


async def test_list_leaves_tombstones_out_unless_asked_for(heads: Heads) -> None:
    await heads.put(head("a"))
    await heads.put(tombstone("b"))
    assert [h.key.document_id for h in await heads.list("acme")] == ["a"]
    assert [h.key.document_id for h in await heads.list("acme", include_deleted=True)] == ["a", "b"]


async def test_counts_are_of_live_documents(heads: Heads) -> None:
    assert await heads.counts("acme") == HeadCounts(0, 0, 0)
    await heads.put(head("a", chunk_count=3, token_count=100))
    await heads.put(head("b", chunk_count=4, token_count=50))
    await heads.put(head("c", chunk_count=9, token_count=9))
    await heads.put(tombstone("c", version=2))
    assert await heads.counts("acme") == HeadCounts(2, 7, 150)


async def test_purge_forgets_a_tombstone_of_that_version_and_nothing_else(heads: Heads) -> None:
    await heads.put(head("live", version=3))
    await heads.put(tombstone("dead", version=3))
    await heads.purge(key("live"), 3)
    await heads.purge(key("dead"), 2)
    assert await heads.get(key("live")) is not None
    assert await heads.get(key("dead")) is not None
    await heads.purge(key("dead"), 3)
    await heads.purge(key("dead"), 3)
    assert await heads.get(key("dead")) is None
    assert await heads.get_many("acme", ["dead"]) == {}


async def test_what_is_written_anew_after_a_purge_is_what_is_read(open_heads: Callable[[], Heads]) -> None:
    writer, reader = open_heads(), open_heads()
    await writer.put(tombstone(version=3))
    await reader.get_many("acme", ["doc"])
    await writer.purge(key(), 3)
    await writer.put(head(version=3))
    assert (await reader.get_many("acme", ["doc"]))["doc"] == head(version=3)


async def test_versions_begin_anew_after_a_purge_or_a_drop(heads: Heads) -> None:
    await heads.put(tombstone("purged", version=9))
    await heads.put(head("dropped", version=9))
    await heads.purge(key("purged"), 9)
    assert await heads.put(head("purged", version=2)) is PutOutcome.APPLIED
    await heads.drop_tenant("acme")
    for document_id in ("purged", "dropped"):
        assert await heads.put(head(document_id, version=1)) is PutOutcome.APPLIED
        assert await heads.get(key(document_id)) == head(document_id, version=1)


async def test_ids_may_have_512_bytes_and_differ_in_the_last(heads: Heads) -> None:
    ids = ["é" * 255 + "ab", "é" * 255 + "aa"]
    for document_id in ids:
        await heads.put(head(document_id))
    assert (await heads.get_many("acme", ids)).keys() == set(ids)
    assert [each.key.document_id for each in await heads.list("acme")] == sorted(ids)


# SQLite only


async def test_get_many_is_right_beyond_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_heads, "_REMEMBERED_HEADS", 5)
    database = CorpusDatabase(tmp_path / "corpus.sqlite")
    heads = SqliteHeads(database)
    crowd = AccessPolicy(frozenset(f"{i}" for i in range(1000)))
    await asyncio.gather(
        *(heads.put(head(f"{i}", access=crowd if i % 2 else AccessPolicy(frozenset()))) for i in range(20))
    )
    for _ in range(3):
        found = await heads.get_many("acme", [f"{i}" for i in range(20)])
        assert [len(found[f"{i}"].access.tokens) for i in range(20)] == [0, 1000] * 10
    assert len(heads._remembered) <= 5
    await database.close()


async def test_two_processes_that_race_leave_the_greatest_version(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from corpus.adapters.sqlite.database import CorpusDatabase\n"
        "from corpus.adapters.sqlite.heads import SqliteHeads\n"
        "from tests.contract.corpus_samples import head\n"
        "async def main(path, first):\n"
        "    heads = SqliteHeads(CorpusDatabase(Path(path)))\n"
        "    for v in range(int(first), 150, 2):\n"
        "        await heads.put(head(version=v, title=str(v))); await heads.put(head(version=1, title='stale'))\n"
        "asyncio.run(main(*sys.argv[1:]))"
    )
    path = tmp_path / "corpus.sqlite"
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(path), f"{first}", cwd=Path(__file__).parents[2]
        )
        for first in (1, 2)
    ]
    database = CorpusDatabase(path)
    heads = SqliteHeads(database)
    seen = 0
    while any(writer.returncode is None for writer in writers):
        found = await heads.get_many("acme", ["doc"])
        version = found["doc"].version if found else 0
        assert version >= seen, "a head went back"
        assert not found or version == 1 or found["doc"].title == f"{version}"
        seen = version
        await asyncio.sleep(0)
    assert [writer.returncode for writer in writers] == [0, 0]
    final = await heads.get(key())
    assert final is not None
    assert (final.version, final.title, final.updated_at) == (149, "149", NOW)
    await database.close()


async def test_a_failing_file_is_a_dependency_error(tmp_path: Path) -> None:
    (tmp_path / "corpus.sqlite").mkdir()
    database = CorpusDatabase(tmp_path / "corpus.sqlite")
    heads = SqliteHeads(database)
    with pytest.raises(DependencyUnavailable):
        await heads.put(head())
    with pytest.raises(DependencyUnavailable):
        await heads.get(key())
    await database.close()
    with pytest.raises(DependencyUnavailable):
        await heads.get_many("acme", ["doc"])


async def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    database = CorpusDatabase(tmp_path / "corpus.sqlite")
    await SqliteHeads(database).put(head())
    await database.write(lambda c: c.execute("INSERT INTO schema_migrations VALUES (99, 0)"))
    await database.close()
    newer = CorpusDatabase(tmp_path / "corpus.sqlite")
    with pytest.raises(DependencyUnavailable) as caught:
        await SqliteHeads(newer).get(key())
    assert caught.value.reason == "STORAGE_TOO_NEW"
    await newer.close()
