"""Writing one vector index: groups of operations under one fsync and one commit."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chassis.errors import InvalidRequest
from chassis.sqlite.connection import open_connection
from corpus.adapters.numpy.schema import MIGRATIONS, ROWS_FILE, SEGMENT_ROWS, segment_file
from corpus.domain import AccessPolicy, Metadata, VectorRow
from corpus.metadata import metadata_to_json

_FLOAT_BYTES = 4
# Below this share of dead rows the space isn't worth the copying.
_MAX_DEAD_SHARE = 0.3
# Bounds how long one commit can take because of compaction.
_SEGMENTS_PER_COMPACTION = 2

_INSERT = "INSERT INTO vector_rows VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?)"
_KILL = "UPDATE vector_rows SET live = 0, seq = ? WHERE chunk_id = ? AND live = 1 RETURNING slot"


@dataclass(frozen=True, slots=True)
class WriteRows:
    """Insert or replace. All vectors are finite and have ``dimensions`` elements."""

    rows: Sequence[VectorRow]
    dimensions: int


@dataclass(frozen=True, slots=True)
class SetAccess:
    """Replace the access policy of rows."""

    chunk_ids: Sequence[str]
    access: AccessPolicy


@dataclass(frozen=True, slots=True)
class DeleteRows:
    """Remove rows."""

    chunk_ids: Sequence[str]


Operation = WriteRows | SetAccess | DeleteRows


class VectorWriter:
    """The one writer of an index. Used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection = open_connection(directory / ROWS_FILE, MIGRATIONS)
        self._dead: Counter[int] = Counter()
        self._vectors: list[NDArray[np.float32]] = []
        self._recover()

    @property
    def dimensions(self) -> int:
        """Dimension of the stored vectors, 0 before the first write."""
        return self._state()[0]

    def apply(self, operations: Sequence[Operation]) -> list[InvalidRequest | None]:
        """Applies the operations in order under one commit, except those whose vectors don't fit: they get their error.

        Raises sqlite3.Error or OSError when nothing was written.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            dimensions, first_slot, seq = self._state()
            transaction = _Transaction(self._connection, dimensions, first_slot, seq + 1, [], Counter())
            results = [transaction.apply(operation) for operation in operations]
            emptied = self._compact(transaction)
            self._append(transaction, first_slot)
            self._connection.execute(
                "UPDATE state SET dimensions = ?, next_slot = ?, seq = ?",
                (transaction.dimensions, transaction.next_slot, transaction.seq),
            )
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise
        self._dead.update(transaction.killed)
        for segment_id in emptied:
            del self._dead[segment_id]
            # Readers that still map the file keep it until they let go.
            segment_file(self._directory, segment_id).unlink(missing_ok=True)
        return results

    def close(self) -> None:
        """Closes the row table. Idempotent."""
        self._connection.close()

    def _state(self) -> tuple[int, int, int]:
        dimensions, next_slot, seq = self._connection.execute("SELECT dimensions, next_slot, seq FROM state").fetchone()
        return dimensions, next_slot, seq

    def _append(self, transaction: _Transaction, first_slot: int) -> None:
        """Writes and syncs the vectors of the new slots."""
        vectors = transaction.vectors
        done = 0
        while done < len(vectors):
            slot = first_slot + done
            segment_id, place = divmod(slot, SEGMENT_ROWS)
            part = np.ascontiguousarray(vectors[done : done + SEGMENT_ROWS - place], dtype="<f4")
            path = segment_file(self._directory, segment_id)
            is_new = not path.exists()
            with open(path, "r+b" if not is_new else "w+b") as file:
                file.seek(place * transaction.dimensions * _FLOAT_BYTES)
                file.write(part.tobytes())
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                _sync_directory(self._directory)
            done += len(part)

    def _compact(self, transaction: _Transaction) -> list[int]:
        """Moves the live rows out of full segments that are mostly dead, to the end; returns the emptied segments."""
        dead = self._dead + transaction.killed
        sealed = transaction.next_slot // SEGMENT_ROWS
        wasteful = [each for each, count in dead.items() if each < sealed and count > SEGMENT_ROWS * _MAX_DEAD_SHARE]
        emptied = sorted(wasteful, key=lambda each: -dead[each])[:_SEGMENTS_PER_COMPACTION]
        for segment_id in emptied:
            path = segment_file(self._directory, segment_id)
            if path.exists():
                stored = np.fromfile(path, dtype="<f4")
                transaction.move_out(
                    segment_id, stored[: len(stored) // transaction.dimensions * transaction.dimensions]
                )
        if emptied:
            transaction.forget_unused()
        return emptied

    def _recover(self) -> None:
        """Brings files and rows together after a crash: cuts vectors off that no row names, and marks rows dead whose
        vectors are gone (only a disk that lost synced data does that; an audit finds and repairs them)."""
        dimensions, next_slot, seq = self._state()
        if dimensions == 0:
            return
        for segment_id, last in self._connection.execute(
            f"SELECT slot / {SEGMENT_ROWS}, MAX(slot) FROM vector_rows GROUP BY 1"  # noqa: S608 - a constant of ours
        ).fetchall():
            path = segment_file(self._directory, segment_id)
            whole_rows = path.stat().st_size // (dimensions * _FLOAT_BYTES) if path.exists() else 0
            first_missing = segment_id * SEGMENT_ROWS + whole_rows
            if first_missing <= last:
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    self._connection.execute(
                        "UPDATE vector_rows SET live = 0, seq = ? WHERE slot BETWEEN ? AND ? AND live = 1",
                        (seq + 1, first_missing, last),
                    )
                    self._connection.execute("UPDATE state SET seq = ?", (seq + 1,))
        segment_id, place = divmod(next_slot, SEGMENT_ROWS)
        tail = segment_file(self._directory, segment_id)
        with suppress(FileNotFoundError):
            os.truncate(tail, min(tail.stat().st_size, place * dimensions * _FLOAT_BYTES))
        for segment_id, count in self._connection.execute(
            f"SELECT slot / {SEGMENT_ROWS}, COUNT(*) FROM vector_rows WHERE live = 0 GROUP BY 1"  # noqa: S608
        ):
            self._dead[segment_id] = count


@dataclass(slots=True)
class _Transaction:
    """Changes of one group, inside one open SQLite transaction."""

    connection: sqlite3.Connection
    dimensions: int
    next_slot: int
    seq: int
    _vectors: list[NDArray[np.float32]]
    killed: Counter[int]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, d) vectors of the new slots, in order."""
        return np.stack(self._vectors) if self._vectors else np.empty((0, self.dimensions), dtype=np.float32)

    def apply(self, operation: Operation) -> InvalidRequest | None:
        match operation:
            case WriteRows(rows, dimensions):
                if self.dimensions not in (0, dimensions):
                    return wrong_dimensions(dimensions, self.dimensions)
                self.dimensions = dimensions
                self._write(rows)
            case SetAccess(chunk_ids, access):
                access_id = self._access_id(access)
                self.connection.executemany(
                    "UPDATE vector_rows SET access_id = ?, seq = ? WHERE chunk_id = ? AND live = 1",
                    [(access_id, self.seq, chunk_id) for chunk_id in chunk_ids],
                )
            case DeleteRows(chunk_ids):
                for chunk_id in chunk_ids:
                    self._kill(chunk_id)
        return None

    def move_out(self, segment_id: int, stored: NDArray[np.float32]) -> None:
        """Gives the segment's live rows new slots and drops the segment."""
        first = segment_id * SEGMENT_ROWS
        span = (first, first + SEGMENT_ROWS - 1)
        vectors = stored.reshape(-1, self.dimensions)
        live = self.connection.execute(
            "SELECT slot FROM vector_rows WHERE slot BETWEEN ? AND ? AND live = 1 ORDER BY slot", span
        ).fetchall()
        for (slot,) in live:
            self.connection.execute(
                "UPDATE vector_rows SET slot = ?, seq = ? WHERE slot = ?", (self.next_slot, self.seq, slot)
            )
            self._vectors.append(vectors[slot - first])
            self.next_slot += 1
        self.connection.execute("DELETE FROM vector_rows WHERE slot BETWEEN ? AND ?", span)
        self.connection.execute("INSERT INTO dropped_segments VALUES (?, ?)", (segment_id, self.seq))

    def forget_unused(self) -> None:
        """Removes interned values that no row names any more."""
        for table, column in (("metadata", "metadata_id"), ("access_sets", "access_id")):
            self.connection.execute(
                f"DELETE FROM {table} WHERE id NOT IN (SELECT {column} FROM vector_rows)"  # noqa: S608 - names of ours
            )

    def _write(self, rows: Sequence[VectorRow]) -> None:
        for row in rows:
            self._kill(row.chunk_id)
            values = (
                self.next_slot,
                self.seq,
                row.chunk_id,
                row.key.document_id,
                row.chunks_version,
                self._access_id(row.access),
                self._metadata_id(row.metadata),
                row.content_sha256,
            )
            self.connection.execute(_INSERT, values)
            self._vectors.append(row.vector)
            self.next_slot += 1

    def _kill(self, chunk_id: str) -> None:
        for (slot,) in self.connection.execute(_KILL, (self.seq, chunk_id)).fetchall():
            self.killed[slot // SEGMENT_ROWS] += 1

    def _access_id(self, access: AccessPolicy) -> int:
        values = (access.security_level, json.dumps(sorted(access.tokens)))
        self.connection.execute("INSERT OR IGNORE INTO access_sets (level, tokens) VALUES (?, ?)", values)
        found = self.connection.execute("SELECT id FROM access_sets WHERE level = ? AND tokens = ?", values)
        return int(found.fetchone()[0])

    def _metadata_id(self, metadata: Metadata) -> int:
        text = metadata_to_json(metadata)
        digest = hashlib.sha256(text.encode()).digest()
        self.connection.execute("INSERT OR IGNORE INTO metadata (digest, json) VALUES (?, ?)", (digest, text))
        return int(self.connection.execute("SELECT id FROM metadata WHERE digest = ?", (digest,)).fetchone()[0])


def wrong_dimensions(actual: int, expected: int) -> InvalidRequest:
    """The error for vectors of another model than the index holds."""
    return InvalidRequest(
        f"The vectors have {actual} dimensions and the index {expected}; use the model of the index's generation.",
        reason="BAD_VECTOR",
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
