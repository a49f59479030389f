"""VectorIndex by brute force over memory-mapped vectors."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from chassis.errors import Defect, DependencyUnavailable, InvalidRequest
from corpus.adapters.coalescing import Coalescer
from corpus.adapters.numpy.listing import RowListing
from corpus.adapters.numpy.reader import SearchRequest, SearchResult, VectorReader
from corpus.adapters.numpy.schema import KIND
from corpus.adapters.numpy.writer import (
    DeleteRows,
    Operation,
    SetAccess,
    VectorWriter,
    WriteRows,
    wrong_dimensions,
)
from corpus.adapters.places import IndexPlace, places_of_tenant, remove_index
from corpus.domain import AccessPolicy, Candidate, IndexedRow, VectorRow
from corpus.ports import Prefilter

T = TypeVar("T")

_RETRY_AFTER_SECONDS = 1.0
_MAX_SEARCH_GROUP = 32
_MAX_WRITE_GROUP = 256


@dataclass(frozen=True, slots=True)
class _Drop:
    """Remove the whole index."""


class NumpyVectorIndex:
    """Exact cosine similarity over the vectors of one tenant and generation, under ``root/generation/tenant``.

    One process writes (``writable``), any number of processes read. A reader asks for changes before every search, so
    it sees a committed write at once. Concurrent writes share one fsync and commit, concurrent searches one pass.

    How a search scans, measured with ``bench/vector_index.py`` at 50,000 x 384 on one core of an Intel Xeon (AVX-512,
    VNNI), milliseconds of CPU time per pass:

    ==================================  =========  =========  =========  ==========  =======================
    scan                                one query  4 queries  8 queries  16 queries  memory
    ==================================  =========  =========  =========  ==========  =======================
    float32, BLAS, blocks of 1,024      7.5        14         16         16 to 22    77 MB mapped
    int8, row by row (``cdist``)        2.1        8.4        17         50          77 MB mapped + 19 MB
    int8, queries packed                4.5        4.5        7.5        13 to 20    the same
    ==================================  =========  =========  =========  ==========  =======================

    So one query takes the int8 pass row by row, several are packed. Either only proposes: its error is bounded, every
    row that could be among the k best within that bound (about 300 of 50,000 for k = 200) is scored from its float32
    vector, and the answer is exact. More threads would take the core that the lexical leg needs.
    """

    def __init__(
        self,
        root: Path,
        *,
        writable: bool,
        search_threads: int = 1,
        max_open_writers: int = 64,
        max_open_readers: int = 64,
    ) -> None:
        self._root = root
        self._writable = writable
        self._max_open_writers = max_open_writers
        self._max_open_readers = max_open_readers
        self._readers: OrderedDict[IndexPlace, VectorReader] = OrderedDict()
        self._writers: OrderedDict[IndexPlace, VectorWriter] = OrderedDict()
        self._lock = Lock()
        # Tenants are searched side by side only where there are threads for it; one tenant's searches go in groups.
        self._searching = ThreadPoolExecutor(search_threads, thread_name_prefix="vector-search")
        self._writing = ThreadPoolExecutor(4, thread_name_prefix="vector-write")
        self._searches = Coalescer[IndexPlace, SearchRequest, SearchResult](
            self._answer, self._searching, max_group=_MAX_SEARCH_GROUP, name="vector index"
        )
        self._commits = Coalescer[IndexPlace, Operation | _Drop, None](
            self._apply, self._writing, max_group=_MAX_WRITE_GROUP, name="vector index"
        )

    async def write(self, generation: str, rows: Sequence[VectorRow]) -> None:
        """See ``VectorIndex.write``."""
        if not rows:
            return
        dimensions = _checked_dimensions(rows)
        by_place: dict[IndexPlace, list[VectorRow]] = defaultdict(list)
        for row in rows:
            by_place[IndexPlace(generation, row.key.tenant_id)].append(row)
        if len(by_place) > 1:
            # With several tenants in one call, a mismatch with one of them must be known before any is written.
            await asyncio.gather(*(self._commit(place, WriteRows((), dimensions)) for place in by_place))
        await asyncio.gather(*(self._commit(place, WriteRows(each, dimensions)) for place, each in by_place.items()))

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None:
        """See ``VectorIndex.set_access``."""
        if chunk_ids:
            await self._commit(IndexPlace(generation, tenant_id), SetAccess(tuple(chunk_ids), access))

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        """See ``VectorIndex.delete``."""
        if chunk_ids:
            await self._commit(IndexPlace(generation, tenant_id), DeleteRows(tuple(chunk_ids)))

    async def search(
        self, generation: str, vectors: NDArray[np.float32], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """See ``VectorIndex.search``.

        Raises InvalidRequest BAD_VECTOR for vectors of a wrong shape or that aren't finite.
        """
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or not np.isfinite(queries).all():
            raise InvalidRequest("Query vectors must be finite and of the shape (n, d).", reason="BAD_VECTOR")
        if len(queries) == 0:
            return []
        place = IndexPlace(generation, prefilter.tenant_id)
        return await self._searches.run(place, SearchRequest(queries, k, prefilter))

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        """See ``VectorIndex.chunk_ids``."""
        return await self._listed(generation, tenant_id, lambda listing: listing.chunk_ids())

    async def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """See ``VectorIndex.scan``. In the order of slots: a row that is written again moves to the end."""
        after = -1
        while True:
            rows, after = await self._listed(generation, tenant_id, partial(RowListing.page, after=after))
            if not rows:
                return
            yield rows

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """See ``VectorIndex.look_up``."""
        return await self._listed(generation, tenant_id, lambda listing: listing.look_up(chunk_ids))

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        """See ``VectorIndex.drop_tenant``."""
        places = await asyncio.to_thread(places_of_tenant, self._root, tenant_id, KIND)
        dropped = [place for place in places if generation in (None, place.generation)]
        await asyncio.gather(*(self._commit(place, _Drop()) for place in dropped))

    async def close(self) -> None:
        """Finishes the calls in hand and gives files and memory back. Idempotent."""
        await asyncio.gather(self._commits.close(), self._searches.close())
        await asyncio.to_thread(self._close_all)
        self._searching.shutdown(wait=False)
        self._writing.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _listed(self, generation: str, tenant_id: str, read: Callable[[RowListing], T]) -> T:
        directory = IndexPlace(generation, tenant_id).directory(self._root, KIND)

        def work() -> T:
            with RowListing(directory) as listing:
                return read(listing)

        try:
            return await asyncio.to_thread(work)
        except (sqlite3.Error, OSError) as error:
            raise _unavailable("read") from error

    async def _commit(self, place: IndexPlace, operation: Operation | _Drop) -> None:
        if not self._writable:
            raise Defect("This process may only read the vector index; only the ingest service writes.")
        await self._commits.run(place, operation)

    def _answer(self, place: IndexPlace, requests: Sequence[SearchRequest]) -> Sequence[SearchResult | InvalidRequest]:
        """Runs in a searching thread, once at a time per place."""
        with self._lock:
            reader = self._readers.pop(place, None) or VectorReader(place.directory(self._root, KIND))
        try:
            results = reader.search(requests)
        except (sqlite3.Error, OSError, ValueError) as error:
            reader.close()
            raise _unavailable("read") from error
        with self._lock:
            self._readers[place] = reader
            surplus = self._readers.popitem(last=False)[1] if len(self._readers) > self._max_open_readers else None
        if surplus is not None:
            surplus.close()
        return results

    def _apply(self, place: IndexPlace, operations: Sequence[Operation | _Drop]) -> Sequence[InvalidRequest | None]:
        """Runs in a writing thread, once at a time per place."""
        results: list[InvalidRequest | None] = []
        pending: list[Operation] = []
        try:
            for operation in operations:
                if isinstance(operation, _Drop):
                    results += self._write(place, pending)
                    pending = []
                    self._drop(place)
                    results.append(None)
                else:
                    pending.append(operation)
            return [*results, *self._write(place, pending)]
        except (sqlite3.Error, OSError, ValueError) as error:
            raise _unavailable("written") from error

    def _write(self, place: IndexPlace, operations: Sequence[Operation]) -> Sequence[InvalidRequest | None]:
        directory = place.directory(self._root, KIND)
        if not any(isinstance(each, WriteRows) for each in operations) and not directory.exists():
            return [None] * len(operations)
        with self._lock:
            writer = self._writers.pop(place, None)
        writer = writer or VectorWriter(directory)
        try:
            results = writer.apply(operations)
        except BaseException:
            writer.close()
            raise
        with self._lock:
            self._writers[place] = writer
            surplus = self._writers.popitem(last=False)[1] if len(self._writers) > self._max_open_writers else None
        if surplus is not None:
            surplus.close()
        return results

    def _drop(self, place: IndexPlace) -> None:
        with self._lock:
            writer = self._writers.pop(place, None)
        if writer is not None:
            writer.close()
        remove_index(place.directory(self._root, KIND))

    def _close_all(self) -> None:
        with self._lock:
            opened: list[VectorWriter | VectorReader] = [*self._writers.values(), *self._readers.values()]
            self._writers.clear()
            self._readers.clear()
        for each in opened:
            each.close()


def _checked_dimensions(rows: Sequence[VectorRow]) -> int:
    """Dimension of the rows' vectors. Raises InvalidRequest BAD_VECTOR unless all are finite and of one dimension."""
    dimensions = rows[0].vector.shape[0] if rows[0].vector.ndim == 1 else 0
    for row in rows:
        if row.vector.ndim != 1 or row.vector.shape[0] == 0 or not np.isfinite(row.vector).all():
            raise InvalidRequest("A vector must be one-dimensional and finite.", reason="BAD_VECTOR")
        if row.vector.shape[0] != dimensions:
            raise wrong_dimensions(row.vector.shape[0], dimensions)
    return dimensions


def _unavailable(what: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"The vector index can't be {what}; check the data directory and its disk.",
        reason="VECTOR_INDEX_UNAVAILABLE",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )
