"""What the two index ports promise alike, as one suite over a small vocabulary that both can speak."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tests.contract.corpus_adapters import elasticsearch_installation
from tests.contract.filters_strategy import FIELDS
from tests.contract.index_rows import EVERYBODY, GENERATION, reader
from tests.contract.refreshed import Refreshed

from corpus.access import policy_fingerprint
from corpus.domain import AccessPolicy, Candidate, IndexedRow, MetadataValue
from corpus.filters import parse_filter
from corpus.ports import SCAN_PAGE, Prefilter

DEADLINE_SECONDS = 20.0


class AnyIndex(Protocol):
    """What VectorIndex and LexicalIndex have in common."""

    async def write(self, generation: str, rows: Sequence[Any]) -> None: ...

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None: ...

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None: ...

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]: ...

    def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]: ...

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]: ...

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Ends:
    """One index as its writer and its readers have it; the same object where there is one process only."""

    writer: Any
    reader: Any
    row: Callable[..., Any]
    query: Callable[..., Any]
    """``query(index, k, prefilter, generation)``: candidates for what every row matches."""

    async def found(self, prefilter: Prefilter | None = None, k: int = 100, generation: str = GENERATION) -> list[str]:
        hits: Sequence[Candidate] = await self.query(self.reader, k, prefilter or reader(), generation)
        return [hit.chunk_id for hit in hits]


@asynccontextmanager
async def opened(adapter: Any, root: Path) -> AsyncIterator[tuple[Any, Any]]:
    """(writer, reader) of an adapter."""
    if adapter.__name__.startswith("Memory"):
        index = adapter()
        yield index, index
        return
    if adapter.__name__.startswith("Elasticsearch"):
        async with elasticsearch_installation(()) as open_connection:
            store = open_connection()
            everything = store.name("*")
            writer = Refreshed(adapter(store), partial(store.client.indices.refresh, index=everything))
            yield writer, adapter(open_connection())
        return
    if adapter.__name__ == "WeaviateVectorIndex":
        # Its client takes seconds to load, which suites of other engines need not pay.
        from tests.contract.weaviate_world import opened_weaviate

        async with opened_weaviate() as ends:
            yield ends
        return
    async with adapter(root, writable=True) as writer, adapter(root, writable=False) as other:
        yield writer, other


class IndexContract:
    """Mixed into the suite of each port, which gives the ``ends`` fixture."""

    async def test_a_written_row_is_found_with_its_document_and_version(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [ends.row("c1", document="d7", version=3)])
        [hit] = await ends.query(ends.reader, 5, reader(), GENERATION)
        assert (hit.chunk_id, hit.document_id, hit.chunks_version) == ("c1", "d7", 3)

    async def test_a_repeated_write_leaves_the_same_rows(self, ends: Ends) -> None:
        rows = [ends.row("c1"), ends.row("c2")]
        await ends.writer.write(GENERATION, rows)
        await ends.writer.write(GENERATION, rows)
        assert await ends.found() == ["c1", "c2"]
        assert await ends.reader.chunk_ids(GENERATION, "acme") == {"c1": 1, "c2": 1}

    async def test_a_row_is_replaced_by_its_chunk_id(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [ends.row("c1", version=1, document="old")])
        await ends.writer.write(GENERATION, [ends.row("c1", version=2, document="new")])
        [hit] = await ends.query(ends.reader, 5, reader(), GENERATION)
        assert (hit.document_id, hit.chunks_version) == ("new", 2)
        assert await ends.reader.chunk_ids(GENERATION, "acme") == {"c1": 2}

    async def test_the_last_of_two_rows_with_one_id_in_one_call_stays(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [ends.row("c1", version=1), ends.row("c1", version=2)])
        assert await ends.reader.chunk_ids(GENERATION, "acme") == {"c1": 2}

    async def test_writing_no_rows_changes_nothing(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [])
        assert await ends.reader.chunk_ids(GENERATION, "acme") == {}

    async def test_a_deleted_row_is_gone_and_unknown_ids_are_ignored(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [ends.row("c1"), ends.row("c2")])
        for _ in range(2):
            await ends.writer.delete(GENERATION, "acme", ["c1", "unknown"])
        assert await ends.found() == ["c2"]
        await ends.writer.write(GENERATION, [ends.row("c1")])
        assert await ends.found() == ["c1", "c2"]

    async def test_deleting_from_an_index_that_is_not_there_does_nothing(self, ends: Ends) -> None:
        await ends.writer.delete(GENERATION, "nobody", ["c1"])
        await ends.writer.set_access(GENERATION, "nobody", ["c1"], EVERYBODY)
        await ends.writer.drop_tenant("nobody")
        assert await ends.reader.chunk_ids(GENERATION, "nobody") == {}

    async def test_a_row_needs_one_of_the_callers_tokens(self, ends: Ends) -> None:
        await ends.writer.write(
            GENERATION,
            [
                ends.row("both", access=AccessPolicy(frozenset({"eng", "ops"}))),
                ends.row("admins", access=AccessPolicy(frozenset({"eng-admins"}))),
                ends.row("nobody", access=AccessPolicy(frozenset())),
            ],
        )
        assert await ends.found(reader("eng")) == ["both"]
        assert await ends.found(reader("ops", "hr")) == ["both"]
        assert await ends.found(reader("eng-admins", "x")) == ["admins"]
        assert await ends.found(reader("en", "admins", "Eng")) == []
        assert await ends.found(Prefilter("acme", frozenset(), 9)) == []
        assert await ends.found(reader("eng", *(f"group{each}" for each in range(5_000)))) == ["both"]

    async def test_a_row_is_hidden_above_the_callers_clearance(self, ends: Ends) -> None:
        levels = (0, 1, 2, 10, 4_000_000_000)
        rows = [ends.row(f"l{level:010d}", access=AccessPolicy(frozenset({"all"}), level)) for level in levels]
        await ends.writer.write(GENERATION, rows)
        for clearance in (0, 2, 9, 10, 2**32 - 1):
            expected = [f"l{level:010d}" for level in levels if level <= clearance]
            assert await ends.found(reader(clearance=clearance)) == expected

    async def test_an_access_change_replaces_tokens_and_level_and_keeps_the_rest(self, ends: Ends) -> None:
        metadata: dict[str, MetadataValue] = {"label": "a", "size": 1.0, "tags": ("x",)}
        await ends.writer.write(GENERATION, [ends.row("c1", document="d", metadata=metadata), ends.row("c2")])
        await ends.writer.set_access(GENERATION, "acme", ["c1", "unknown"], AccessPolicy(frozenset({"eng"}), 2))
        await ends.writer.set_access(GENERATION, "acme", ["c1"], AccessPolicy(frozenset({"eng"}), 2))
        assert await ends.found() == ["c2"]
        assert await ends.found(reader("eng", clearance=1)) == []
        row_filter = parse_filter({"label": "a", "size": {"$lte": 1}, "tags": "x"}, FIELDS)
        assert await ends.found(reader("eng", clearance=2, row_filter=row_filter)) == ["c1"]
        assert await ends.reader.chunk_ids(GENERATION, "acme") == {"c1": 1, "c2": 1}

    async def test_a_foreign_tenants_rows_are_never_visible(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [ends.row("c1", tenant="acme"), ends.row("c1", tenant="globex", version=9)])
        await ends.writer.write(GENERATION, [ends.row("c2", tenant="globex")])
        assert await ends.found(reader(tenant="acme")) == ["c1"]
        assert await ends.found(reader(tenant="initech")) == []
        await ends.writer.delete(GENERATION, "acme", ["c2"])
        await ends.writer.set_access(GENERATION, "acme", ["c2"], AccessPolicy(frozenset()))
        assert await ends.found(reader(tenant="globex")) == ["c1", "c2"]
        assert await ends.reader.chunk_ids(GENERATION, "acme") == {"c1": 1}

    async def test_generations_are_apart(self, ends: Ends) -> None:
        await ends.writer.write("g1", [ends.row("c1")])
        await ends.writer.write("g2", [ends.row("c2")])
        assert await ends.found(generation="g1") == ["c1"]
        assert await ends.found(generation="g2") == ["c2"]
        assert await ends.found(generation="g3") == []

    async def test_tenants_of_one_name_have_nothing_in_common(self, ends: Ends) -> None:
        for earlier, later in (("acme", "acme_1"), ("a" * 62, "a" * 62 + "_1")):
            await ends.writer.write(GENERATION, [ends.row("c1", tenant=earlier)])
            await ends.writer.drop_tenant(earlier)
            await ends.writer.write(GENERATION, [ends.row("c2", tenant=later)])
            await ends.writer.write(GENERATION, [ends.row("c1", tenant=earlier)])  # late
            assert await ends.found(reader(tenant=later)) == ["c2"]
            await ends.writer.drop_tenant(earlier)
            assert await ends.reader.chunk_ids(GENERATION, later) == {"c2": 1}

    async def test_a_dropped_tenant_is_gone_from_every_generation_and_can_come_back(self, ends: Ends) -> None:
        for generation in ("g1", "g2"):
            await ends.writer.write(generation, [ends.row("c1"), ends.row("c1", tenant="globex")])
            assert await ends.found(generation=generation) == ["c1"]
        for _ in range(2):
            await ends.writer.drop_tenant("acme")
        assert await ends.reader.chunk_ids("g1", "acme") == {}
        assert await ends.found(generation="g2") == []
        assert await ends.found(reader(tenant="globex")) == ["c1"]
        await ends.writer.write("g1", [ends.row("c9")])
        assert await ends.found() == ["c9"]

    async def test_a_tenant_can_be_dropped_from_one_generation_alone(self, ends: Ends) -> None:
        for generation in ("g1", "g2"):
            await ends.writer.write(generation, [ends.row("c1"), ends.row("c1", tenant="globex")])
        for _ in range(2):
            await ends.writer.drop_tenant("acme", "g2")
            assert await ends.found(generation="g2") == []
        assert await ends.reader.chunk_ids("g2", "acme") == {}
        assert await ends.found(generation="g1") == ["c1"]
        assert await ends.found(reader(tenant="globex"), generation="g2") == ["c1"]

    async def test_a_scan_and_a_look_say_what_each_row_is_made_from_and_who_may_read_it(self, ends: Ends) -> None:
        staff = AccessPolicy(frozenset({"eng", "ops"}), 3)
        await ends.writer.write(
            GENERATION,
            [
                ends.row("c1", document="d:1\u00e9", version=2**60 + 1, access=staff, content="a" * 64),
                ends.row("c2", access=AccessPolicy(frozenset()), content="b" * 64),
                ends.row("c3", tenant="globex"),
            ],
        )
        first = IndexedRow("c1", "d:1\u00e9", 2**60 + 1, "a" * 64, policy_fingerprint(staff))
        second = IndexedRow("c2", "doc", 1, "b" * 64, policy_fingerprint(AccessPolicy(frozenset())))
        assert await scanned(ends.reader) == [first, second]
        assert sorted(await ends.reader.look_up(GENERATION, "acme", ["c2", "c1", "c3", "c2"])) == [first, second]
        assert list(await ends.reader.look_up(GENERATION, "acme", [])) == []
        for generation, tenant in (("g9", "acme"), (GENERATION, "initech")):
            assert await scanned(ends.reader, generation, tenant) == []
            assert list(await ends.reader.look_up(generation, tenant, ["c1"])) == []

    async def test_an_access_change_shows_in_a_scan_and_leaves_the_content(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [ends.row("c1", content="a" * 64), ends.row("c2", content="b" * 64)])
        narrow = AccessPolicy(frozenset({"eng"}), 1)
        await ends.writer.set_access(GENERATION, "acme", ["c1"], narrow)
        expected = [
            IndexedRow("c1", "doc", 1, "a" * 64, policy_fingerprint(narrow)),
            IndexedRow("c2", "doc", 1, "b" * 64, policy_fingerprint(EVERYBODY)),
        ]
        assert await scanned(ends.reader) == expected
        assert sorted(await ends.reader.look_up(GENERATION, "acme", ["c1", "c2"])) == expected

    async def test_a_scan_goes_through_all_pages_beside_writes_and_misses_nothing_that_stays(self, ends: Ends) -> None:
        names = [f"c{each:05d}" for each in range(SCAN_PAGE + 20)]
        for start in range(0, len(names), 500):
            await ends.writer.write(GENERATION, [ends.row(name) for name in names[start : start + 500]])
        seen: set[str] = set()
        pages = 0
        async for page in ends.reader.scan(GENERATION, "acme"):
            assert 0 < len(page) <= SCAN_PAGE
            seen |= {row.chunk_id for row in page}
            if pages == 0:
                await ends.writer.delete(GENERATION, "acme", names[:10])
                await ends.writer.write(GENERATION, [ends.row("new"), ends.row(names[-1], version=2)])
            pages += 1
        assert pages > 1
        assert seen >= set(names[10:])
        assert seen - {"new"} <= set(names)

    async def test_equal_scores_are_ordered_by_chunk_id_also_at_the_cut(self, ends: Ends) -> None:
        names = [f"c{each:03d}" for each in range(60)]
        for part in (names[1::2][::-1], names[::2]):
            await ends.writer.write(GENERATION, [ends.row(name) for name in part])
        assert await ends.found(k=7) == names[:7]
        assert await ends.found(k=60) == names
        assert await ends.found(k=1000) == names

    async def test_concurrent_writes_and_searches_all_succeed(self, ends: Ends) -> None:
        async def write(place: int) -> None:
            await ends.writer.write(GENERATION, [ends.row(f"c{place:02d}")])
            assert f"c{place:02d}" in await ends.found()

        await asyncio.gather(*(write(place) for place in range(24)))
        assert await ends.found() == [f"c{place:02d}" for place in range(24)]


async def scanned(index: AnyIndex, generation: str = GENERATION, tenant: str = "acme") -> list[IndexedRow]:
    """Every row of a scan, sorted."""
    return sorted([row async for page in index.scan(generation, tenant) for row in page])


@asynccontextmanager
async def writing_process(kind: str, root: Path, program: str) -> AsyncIterator[subprocess.Popen[str]]:
    """Runs ``program`` of ``tests/contract/index_process.py`` on an index of this kind; killed at the end."""
    command = [sys.executable, "-m", "tests.contract.index_process", kind, str(root), program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), DEADLINE_SECONDS)).strip()


async def check_visibility_across_processes(kind: str, adapter: Any, root: Path) -> None:
    """A write that returned in one process is seen by a search that another one begins."""
    async with writing_process(kind, root, "announce") as process, adapter(root, writable=False) as index:
        seen: set[str] = set()
        while (line := await line_of(process)) != "done":
            seen.add(line)
            assert (await index.chunk_ids(GENERATION, "acme")).keys() >= seen
        assert len(seen) == 8
        assert await index.chunk_ids(GENERATION, "globex") == {}


async def check_crash_of_the_writer(kind: str, adapter: Any, root: Path) -> None:
    """SIGKILL in the middle of writing loses nothing that was announced, and the index goes on."""
    announced: set[str] = set()
    for _ in range(3):
        async with writing_process(kind, root, "endless") as process:
            started = time.monotonic()
            while time.monotonic() - started < 0.5:
                announced.add(await line_of(process))
            os.kill(process.pid, signal.SIGKILL)
            # A name that was printed in full was written in full.
            while (line := await line_of(process)) != "":
                announced.add(line)
        async with adapter(root, writable=False) as index:
            assert (await index.chunk_ids(GENERATION, "acme")).keys() >= announced
    async with adapter(root, writable=True) as writer:
        stored = await writer.chunk_ids(GENERATION, "acme")
        await writer.delete(GENERATION, "acme", list(stored))
        assert await writer.chunk_ids(GENERATION, "acme") == {}
