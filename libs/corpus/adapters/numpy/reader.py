"""Searching one vector index, also while another process writes it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from chassis.errors import InvalidRequest
from chassis.sqlite.connection import open_connection
from corpus.adapters.numpy.schema import MIGRATIONS, ROWS_FILE, SEGMENT_ROWS, segment_file
from corpus.adapters.numpy.segment import BLOCK_ROWS, Copies, Segment, quantise
from corpus.adapters.numpy.tables import AccessTable, MetadataTable
from corpus.adapters.numpy.writer import wrong_dimensions
from corpus.domain import Candidate
from corpus.ports import Prefilter

# With fewer readable rows, scoring them alone is cheaper than a pass over all.
_FEW_ROWS = 1_024
# Rounding of a float32 inner product, per unit of both lengths; generous for up to 4,096 dimensions.
_ROUNDING = 5e-5
_REMEMBERED_MASKS = 16
_SNAPSHOT_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One call: (n, d) query vectors under one prefilter."""

    vectors: NDArray[np.float32]
    k: int
    prefilter: Prefilter


@dataclass(frozen=True, slots=True)
class _Readable:
    """Rows that satisfy a prefilter.

    Attributes:
        positions: Ascending, in the concatenation of all segments.
        blocks: (segments, blocks of a segment) whether any row of the block is among them.
    """

    positions: NDArray[np.int64]
    blocks: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Approximation:
    """(n,) products of one query with all rows, and how far each of them may be off."""

    products: NDArray[np.float32]
    margin: float


SearchResult = Sequence[Sequence[Candidate]]


class VectorReader:
    """The newest committed state of the index in one directory. Used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection: sqlite3.Connection | None = None
        self._reset()

    def search(self, requests: Sequence[SearchRequest]) -> list[SearchResult | InvalidRequest]:
        """Answers a group of calls with as few passes over the vectors as possible.

        Sees every write that was committed before.
        """
        self._refresh()
        if not self._segments:
            return [[()] * len(request.vectors) for request in requests]
        wrong = [request.vectors.shape[1] != self._dimensions for request in requests]
        readable = [self._readable(request.prefilter) for request in requests]
        passes = [
            len(each.positions) > max(_FEW_ROWS, request.k) and not bad
            for request, each, bad in zip(requests, readable, wrong, strict=True)
        ]
        asked = [(each.vectors, rows) for each, rows, needed in zip(requests, readable, passes, strict=True) if needed]
        approximate = self._approximate([vectors for vectors, _ in asked], [rows for _, rows in asked])
        results: list[SearchResult | InvalidRequest] = []
        for request, rows, needed, bad in zip(requests, readable, passes, wrong, strict=True):
            if bad:
                results.append(wrong_dimensions(request.vectors.shape[1], self._dimensions))
                continue
            results.append(
                [self._best(query, request.k, rows, next(approximate) if needed else None) for query in request.vectors]
            )
        return results

    def close(self) -> None:
        """Lets go of files and memory. The next call opens them again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._reset()

    def _reset(self) -> None:
        self._inode = 0
        self._data_version = -1
        self._seq = 0
        self._last_access_id = 0
        self._last_metadata_id = 0
        self._dimensions = 0
        self._segments: dict[int, Segment] = {}
        self._starts = np.zeros(0, dtype=np.int64)
        self._metadata = MetadataTable()
        self._access = AccessTable()
        self._masks: LRUCache[tuple[frozenset[str], int, str], _Readable] = LRUCache(_REMEMBERED_MASKS)

    def _refresh(self) -> None:
        """Picks up what was committed since the last call: a ``stat`` and a pragma when there is nothing new."""
        path = self._directory / ROWS_FILE
        try:
            inode = os.stat(path).st_ino
        except FileNotFoundError:
            self.close()
            return
        if self._connection is None or inode != self._inode:
            self.close()
            self._connection = open_connection(path, MIGRATIONS, read_only=True)
            self._inode = inode
        data_version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if data_version == self._data_version:
            return
        self._data_version = -1
        for attempt in range(1, _SNAPSHOT_ATTEMPTS + 1):
            try:
                self._load(self._connection)
                break
            except FileNotFoundError:
                # A segment was compacted away between reading the rows and mapping its file: the next rows know.
                if attempt == _SNAPSHOT_ATTEMPTS:
                    raise
        self._data_version = data_version

    def _load(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        try:
            dimensions, seq = connection.execute("SELECT dimensions, seq FROM state").fetchone()
            dropped = connection.execute("SELECT id FROM dropped_segments WHERE seq > ?", (self._seq,)).fetchall()
            policies = connection.execute(
                "SELECT id, level, tokens FROM access_sets WHERE id > ? ORDER BY id", (self._last_access_id,)
            ).fetchall()
            entries = connection.execute(
                "SELECT id, json FROM metadata WHERE id > ? ORDER BY id", (self._last_metadata_id,)
            ).fetchall()
            rows = connection.execute(
                "SELECT slot, live, access_id, metadata_id, chunks_version, chunk_id, document_id"
                " FROM vector_rows WHERE seq > ? ORDER BY slot",
                (self._seq,),
            ).fetchall()
        finally:
            connection.execute("ROLLBACK")
        self._dimensions = dimensions
        self._access.put(policies)
        self._metadata.put(entries)
        self._last_access_id = policies[-1][0] if policies else self._last_access_id
        self._last_metadata_id = entries[-1][0] if entries else self._last_metadata_id
        self._masks.clear()
        self._put(rows)
        for (segment_id,) in dropped:
            self._segments.pop(segment_id, None)
        sizes = [segment.size for segment in self._segments.values()]
        self._starts = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0, dtype=np.int64)
        if dropped:
            used = [np.unique(each.metadata[: each.size][each.live[: each.size]]) for each in self._segments.values()]
            self._metadata.keep({int(entry_id) for ids in used for entry_id in ids})
        self._seq = seq

    def _put(self, rows: Sequence[tuple[int, int, int, int, int, str, str]]) -> None:
        sizes: dict[int, int] = {}
        for slot, live, access_id, metadata_id, version, chunk_id, document_id in rows:
            segment_id, place = divmod(slot, SEGMENT_ROWS)
            segment = self._segments.get(segment_id)
            if segment is None:
                path = segment_file(self._directory, segment_id)
                segment = self._segments[segment_id] = Segment(path, self._dimensions)
            segment.live[place] = bool(live)
            segment.access[place] = access_id
            segment.metadata[place] = metadata_id
            segment.versions[place] = version
            segment.chunk_ids[place] = chunk_id
            segment.document_ids[place] = document_id
            sizes[segment_id] = place + 1
        for segment_id, size in sizes.items():
            self._segments[segment_id].grow(size)

    def _readable(self, prefilter: Prefilter) -> _Readable:
        fingerprint = prefilter.filter.fingerprint if prefilter.filter is not None else ""
        key = (prefilter.access_tokens, prefilter.clearance, fingerprint)
        known = self._masks.get(key)
        if known is not None:
            return known
        may_read = self._access.passing(prefilter.access_tokens, prefilter.clearance)
        passes = None if prefilter.filter is None else self._metadata.passing(prefilter.filter.expression)
        masks = []
        blocks = np.zeros((len(self._segments), -(-SEGMENT_ROWS // BLOCK_ROWS)), dtype=np.bool_)
        for segment, touched in zip(self._segments.values(), blocks, strict=True):
            mask = segment.live[: segment.size] & may_read[segment.access[: segment.size]]
            if passes is not None:
                mask &= passes[segment.metadata[: segment.size]]
            touched[np.unique(np.flatnonzero(mask) // BLOCK_ROWS)] = True
            masks.append(mask)
        readable = self._masks[key] = _Readable(np.flatnonzero(np.concatenate(masks)), blocks)
        return readable

    def _approximate(
        self, vectors: Sequence[NDArray[np.float32]], readable: Sequence[_Readable]
    ) -> Iterator[_Approximation]:
        """Products of every query with every row, each with a bound of its error. Blocks of which no request may read a
        row are left out: what one group of people reads often came in together."""
        if not vectors:
            return
        queries = np.concatenate(vectors)
        lengths = np.linalg.norm(queries, axis=1)
        norm = max(segment.norm for segment in self._segments.values())
        copies, scales, errors, _ = quantise(queries)
        # |q·x − q'·x'| ≤ |q|·|x − x'| + |q − q'|·|x'| for the copies q' and x' (Cauchy-Schwarz).
        error = max(segment.error for segment in self._segments.values())
        margins = _ROUNDING * norm * lengths + lengths * error + errors * norm
        products = np.empty((len(queries), sum(each.size for each in self._segments.values())), dtype=np.float32)
        asked = Copies(copies, scales)
        blocks = np.logical_or.reduce([each.blocks for each in readable])
        for start, segment, touched in zip(self._starts, self._segments.values(), blocks, strict=True):
            part = products[:, start : start + segment.size]
            for rows in _runs(touched, segment.size):
                segment.products(asked, rows, part)
        yield from (_Approximation(row, float(margin)) for row, margin in zip(products, margins, strict=True))

    def _best(
        self, query: NDArray[np.float32], k: int, rows: _Readable, approximation: _Approximation | None
    ) -> Sequence[Candidate]:
        positions = rows.positions
        if len(positions) == 0 or k < 1:
            return ()
        if approximation is None:
            return self._candidates(positions, self._exact(positions, query), k)
        # The k rows that look best give a lower bound of the k-th best score. Every row that could reach it is
        # scored exactly, so the result is exact although the pass over all rows was not.
        products = approximation.products[positions]
        likely = np.argpartition(products, len(products) - k)[len(products) - k :]
        scores = self._exact(positions[likely], query)
        possible = products >= scores.min() - approximation.margin
        possible[likely] = False
        others = positions[possible]
        return self._candidates(
            np.concatenate([positions[likely], others]), np.concatenate([scores, self._exact(others, query)]), k
        )

    def _exact(self, positions: NDArray[np.int64], query: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.empty(len(positions), dtype=np.float32)
        for segment, inside, places in self._by_segment(positions):
            scores[inside] = segment.exact(places, query)
        return scores

    def _by_segment(
        self, positions: NDArray[np.int64]
    ) -> Iterator[tuple[Segment, NDArray[np.intp], NDArray[np.int64]]]:
        """Per segment that holds any of them: which of the positions, and their places there."""
        numbers = np.searchsorted(self._starts, positions, side="right") - 1
        for number, (start, segment) in enumerate(zip(self._starts, self._segments.values(), strict=True)):
            inside = np.flatnonzero(numbers == number)
            if len(inside):
                yield segment, inside, positions[inside] - start

    def _candidates(self, positions: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> list[Candidate]:
        """The k best rows, best first, ties by chunk id."""
        order = np.argsort(-scores)
        ordered = scores[order]
        if len(order) > k:
            # With all that tie for the last place.
            order = order[: np.searchsorted(-ordered, -ordered[k - 1], side="right")]
            ordered = ordered[: len(order)]
        versions = np.empty(len(order), dtype=np.int64)
        chunk_ids, document_ids = np.empty(len(order), dtype=np.object_), np.empty(len(order), dtype=np.object_)
        for segment, inside, places in self._by_segment(positions[order]):
            versions[inside] = segment.versions[places]
            chunk_ids[inside] = segment.chunk_ids[places]
            document_ids[inside] = segment.document_ids[places]
        names = chunk_ids.tolist(), document_ids.tolist()
        found = list(map(Candidate, *names, versions.tolist(), ordered.tolist()))
        if (ordered[1:] == ordered[:-1]).any():
            found.sort(key=lambda each: (-each.score, each.chunk_id))
        return found[:k]


def _runs(touched: NDArray[np.bool_], size: int) -> Iterator[range]:
    """The rows of blocks that are wanted, neighbours together."""
    edges = np.flatnonzero(np.diff(touched, prepend=False, append=False))
    for first, last in edges.reshape(-1, 2).tolist():
        yield range(first * BLOCK_ROWS, min(last * BLOCK_ROWS, size))
