"""LexicalIndex on tantivy."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from types import TracebackType
from typing import Any, Self, TypeVar

from chassis.errors import Defect, DependencyUnavailable
from corpus.adapters.coalescing import Coalescer
from corpus.adapters.lexical_links import Named, Seed, follow
from corpus.adapters.places import IndexPlace, places_of_tenant, remove_index
from corpus.adapters.tantivy.reader import IndexReader, Snapshot
from corpus.adapters.tantivy.schema import KIND
from corpus.adapters.tantivy.writer import DeleteRows, IndexWriter, Operation, SetAccess, WriteRows
from corpus.domain import AccessPolicy, Candidate, IndexedRow, LexicalRow
from corpus.index_ports import MayBeShown
from corpus.ports import SCAN_PAGE, Prefilter

T = TypeVar("T")
R = TypeVar("R")

_RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Drop:
    """Remove the whole index."""


class TantivyLexicalIndex:
    """BM25 over one tantivy index per generation and tenant, under ``root/generation/tenant``.

    One process writes (``writable``), any number of processes read. A reader looks at the index's meta file before
    every search, so it sees a committed write at once. Writers are opened when first needed and closed when not used
    lately. Writes that arrive while a commit is running share the next one.
    """

    def __init__(
        self,
        root: Path,
        *,
        writable: bool,
        search_threads: int = 2,
        max_open_writers: int = 8,
        max_open_readers: int = 256,
    ) -> None:
        self._root = root
        self._writable = writable
        self._max_open_writers = max_open_writers
        self._max_open_readers = max_open_readers
        self._readers: OrderedDict[IndexPlace, IndexReader] = OrderedDict()
        self._writers: OrderedDict[IndexPlace, IndexWriter] = OrderedDict()
        self._closing: set[IndexPlace] = set()
        self._writers_changed = Condition()
        self._searching = ThreadPoolExecutor(search_threads, thread_name_prefix="lexical-search")
        # Commits wait for the disk, so tenants overlap well.
        self._writing = ThreadPoolExecutor(4, thread_name_prefix="lexical-write")
        self._commits = Coalescer[IndexPlace, Operation | _Drop, None](
            self._apply, self._writing, max_group=256, name="lexical index"
        )

    async def write(self, generation: str, rows: Sequence[LexicalRow]) -> None:
        """See ``LexicalIndex.write``."""
        by_place: dict[IndexPlace, list[LexicalRow]] = defaultdict(list)
        for row in rows:
            by_place[IndexPlace(generation, row.key.tenant_id)].append(row)
        await asyncio.gather(*(self._commit(place, WriteRows(each)) for place, each in by_place.items()))

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None:
        """See ``LexicalIndex.set_access``. Rewrites the rows from what is stored of them."""
        if chunk_ids:
            await self._commit(IndexPlace(generation, tenant_id), SetAccess(tuple(dict.fromkeys(chunk_ids)), access))

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        """See ``LexicalIndex.delete``."""
        if chunk_ids:
            await self._commit(IndexPlace(generation, tenant_id), DeleteRows(tuple(chunk_ids)))

    async def search(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """See ``LexicalIndex.search``. Of a query's distinct terms only the rarest ``MAX_QUERY_TERMS`` count."""
        reader = self._reader(IndexPlace(generation, prefilter.tenant_id))

        def search_one(terms: Sequence[str]) -> Sequence[Candidate]:
            snapshot = reader.snapshot()
            return () if snapshot is None else snapshot.search(terms, k, prefilter)

        return await asyncio.gather(*(self._read(search_one, terms) for terms in queries))

    async def linked(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter, shown: MayBeShown
    ) -> Sequence[Sequence[Candidate]]:
        """See ``LexicalIndex.linked``. None in an index that was made before there were links."""
        if k < 1:
            return [()] * len(queries)
        reader = self._reader(IndexPlace(generation, prefilter.tenant_id))

        def seeds_of(terms: Sequence[str]) -> Sequence[Seed]:
            snapshot = reader.snapshot()
            return () if snapshot is None else snapshot.seeds(terms, prefilter)

        def named(asked: tuple[int, Collection[str]]) -> Sequence[Named]:
            snapshot = reader.snapshot()
            return () if snapshot is None else snapshot.named(queries[asked[0]], asked[1], prefilter)

        async def bearing(asked: Mapping[int, Collection[str]]) -> Mapping[int, Sequence[Named]]:
            found = await asyncio.gather(*(self._read(named, each) for each in asked.items()))
            return dict(zip(asked, found, strict=True))

        seeds = await asyncio.gather(*(self._read(seeds_of, terms) for terms in queries))
        return await follow(seeds, bearing, shown, k)

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        """See ``LexicalIndex.chunk_ids``."""
        reader = self._reader(IndexPlace(generation, tenant_id))

        def list_all(_: None) -> Mapping[str, int]:
            snapshot = reader.snapshot()
            return {} if snapshot is None else snapshot.chunk_ids()

        return await self._read(list_all, None)

    async def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """See ``LexicalIndex.scan``. Exactly what was committed when the scan began; keeps its files, and about 100
        bytes a row in memory, until it ends."""
        reader = self._reader(IndexPlace(generation, tenant_id))

        def begin(_: None) -> tuple[Snapshot | None, Sequence[Any]]:
            snapshot = reader.snapshot()
            return snapshot, snapshot.addresses() if snapshot else ()

        snapshot, addresses = await self._read(begin, None)
        if snapshot is None:
            return
        for start in range(0, len(addresses), SCAN_PAGE):
            yield await self._read(snapshot.indexed_rows, addresses[start : start + SCAN_PAGE])

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """See ``LexicalIndex.look_up``."""
        reader = self._reader(IndexPlace(generation, tenant_id))

        def look(wanted: Collection[str]) -> Sequence[IndexedRow]:
            snapshot = reader.snapshot()
            return () if snapshot is None else snapshot.look_up(wanted)

        return await self._read(look, list(dict.fromkeys(chunk_ids)))

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        """See ``LexicalIndex.drop_tenant``."""
        places = await asyncio.to_thread(places_of_tenant, self._root, tenant_id, KIND)
        dropped = [place for place in places if generation in (None, place.generation)]
        await asyncio.gather(*(self._commit(place, _Drop()) for place in dropped))

    async def close(self) -> None:
        """Finishes the writes in hand and gives files and locks back. Idempotent."""
        await self._commits.close()
        await asyncio.to_thread(self._close_writers, 0)
        self._searching.shutdown(wait=False)
        self._writing.shutdown(wait=False)
        self._readers.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _commit(self, place: IndexPlace, operation: Operation | _Drop) -> None:
        if not self._writable:
            raise Defect("This process may only read the lexical index; only the ingest service writes.")
        await self._commits.run(place, operation)

    async def _read(self, work: Callable[[T], R], argument: T) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._searching, work, argument)
        except (ValueError, OSError, RuntimeError) as error:
            raise _unavailable("read") from error

    def _reader(self, place: IndexPlace) -> IndexReader:
        reader = self._readers.pop(place, None) or IndexReader(place.directory(self._root, KIND))
        self._readers[place] = reader
        if len(self._readers) > self._max_open_readers:
            self._readers.popitem(last=False)
        return reader

    def _apply(self, place: IndexPlace, operations: Sequence[Operation | _Drop]) -> Sequence[None]:
        """Runs in a writing thread, once at a time per place."""
        try:
            pending: list[Operation] = []
            for operation in operations:
                if isinstance(operation, _Drop):
                    pending.clear()  # what came before is dropped with the rest
                    self._drop(place)
                else:
                    pending.append(operation)
            self._write(place, pending)
        except (ValueError, OSError, RuntimeError) as error:
            raise _unavailable("written") from error
        return [None] * len(operations)

    def _write(self, place: IndexPlace, operations: Sequence[Operation]) -> None:
        directory = place.directory(self._root, KIND)
        if not any(isinstance(operation, WriteRows) for operation in operations) and not directory.exists():
            return
        with self._writers_changed:
            # A writer holds its index's lock file until it is closed.
            self._writers_changed.wait_for(lambda: place not in self._closing)
            # Taken out while in use, so that nobody closes it as idle.
            writer = self._writers.pop(place, None)
        try:
            writer = writer or IndexWriter(directory, place.tenant_id)
            writer.apply(operations)
        except BaseException:
            # Without its writer the index falls back to its last commit, and the next operation opens a new one.
            writer = None
            raise
        finally:
            if writer is not None:
                with self._writers_changed:
                    self._writers[place] = writer
        self._close_writers(self._max_open_writers)

    def _drop(self, place: IndexPlace) -> None:
        with self._writers_changed:
            self._writers_changed.wait_for(lambda: place not in self._closing)
            writer = self._writers.pop(place, None)
        if writer is not None:
            writer.close()
        remove_index(place.directory(self._root, KIND))

    def _close_writers(self, keep: int) -> None:
        """Closes all but the ``keep`` writers that were used last, outside of the lock, since it waits for merges."""
        with self._writers_changed:
            surplus = max(0, len(self._writers) - keep)
            idle = dict(self._writers.popitem(last=False) for _ in range(surplus))
            self._closing |= idle.keys()
        for place, writer in idle.items():
            try:
                writer.close()
            finally:
                with self._writers_changed:
                    self._closing.discard(place)
                    self._writers_changed.notify_all()


def _unavailable(what: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"The lexical index can't be {what}; check the data directory and its disk.",
        reason="LEXICAL_INDEX_UNAVAILABLE",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )
