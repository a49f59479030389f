"""Listing the rows of one vector index, for audits: no vectors are in memory but those asked for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from chassis.sqlite.connection import open_connection
from corpus.access import access_fingerprint
from corpus.adapters.numpy.schema import MIGRATIONS, ROWS_FILE, SEGMENT_ROWS, segment_file
from corpus.domain import IndexedRow
from corpus.ports import SCAN_PAGE

_ROWS = (
    "SELECT r.slot, r.chunk_id, r.document_id, r.chunks_version, r.content_sha256, a.level, a.tokens"
    " FROM vector_rows r JOIN access_sets a ON a.id = r.access_id WHERE r.live = 1"
)

_SLOTS = "SELECT r.chunk_id, r.slot, s.dimensions FROM vector_rows r, state s WHERE r.live = 1"
_FLOAT32_BYTES: Final = 4
_NAMED = " AND r.chunk_id IN (SELECT value FROM json_each(?))"


class RowListing:
    """What the row table in one directory holds now; a directory without one holds nothing."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ROWS_FILE
        there = self._path.exists()
        self._connection = open_connection(self._path, MIGRATIONS, read_only=True) if there else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def chunk_ids(self) -> dict[str, int]:
        """chunk_id → chunks_version of every row."""
        return dict(self._select("SELECT chunk_id, chunks_version FROM vector_rows WHERE live = 1"))

    def page(self, *, after: int) -> tuple[Sequence[IndexedRow], int]:
        """The next rows behind that slot, and the last one's slot."""
        rows = self._select(f"{_ROWS} AND r.slot > ? ORDER BY r.slot LIMIT {SCAN_PAGE}", after)
        return _indexed(rows), rows[-1][0] if rows else after

    def look_up(self, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """The rows with these ids."""
        return _indexed(self._select(_ROWS + _NAMED, _json(chunk_ids)))

    def vectors_of(self, chunk_ids: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """(d,) float32 vectors of the rows with these ids."""
        slots = self._select(_SLOTS + _NAMED, _json(chunk_ids))
        found = {chunk_id: self._read(slot, dimensions) for chunk_id, slot, dimensions in slots}
        return {chunk_id: vector for chunk_id, vector in found.items() if vector is not None}

    def _read(self, slot: int, dimensions: int) -> NDArray[np.float32] | None:
        segment_id, place = divmod(slot, SEGMENT_ROWS)
        try:
            with segment_file(self._path.parent, segment_id).open("rb") as file:
                file.seek(place * dimensions * _FLOAT32_BYTES)
                read = np.frombuffer(file.read(dimensions * _FLOAT32_BYTES), dtype="<f4")
        except FileNotFoundError:
            # Compacted away since the slot was read: the row is elsewhere, or gone.
            return None
        return read.astype(np.float32) if len(read) == dimensions else None

    def _select(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            if self._path.exists():
                raise
            # The tenant was dropped, and its files with it, a moment ago.
            return []


def _json(chunk_ids: Collection[str]) -> str:
    return json.dumps(list(chunk_ids))


def _indexed(rows: Sequence[tuple[Any, ...]]) -> Sequence[IndexedRow]:
    fingerprints: dict[tuple[int, str], str] = {}
    found = []
    for _, chunk_id, document_id, chunks_version, content_sha256, level, tokens in rows:
        access = fingerprints.get((level, tokens))
        if access is None:
            access = fingerprints[level, tokens] = access_fingerprint(json.loads(tokens), level)
        found.append(IndexedRow(chunk_id, document_id, chunks_version, content_sha256, access))
    return found
