"""The embedding cache in a file of its own: it can be deleted, and its writes never hold up a head's."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chassis.errors import HeadwaterError
from chassis.sqlite.readers import ReaderPool
from chassis.sqlite.writer import GroupCommitWriter
from corpus.adapters.sqlite.schema import EMBEDDING_MIGRATIONS

MAX_BYTES = 2 * 1024**3
"""A million vectors of 384 dimensions, with their overhead."""

_ROW_BYTES = 150
"""What a row takes besides its vector: model, hash, and both again in the index."""

_USE_RESOLUTION_SECONDS = 3600
"""A use is written down at most this often: order among the last hour's uses is not worth a write per read."""

_KEPT_AFTER_EVICTION = 0.9
_EVICTION_STEP_ROWS = 1000
_PUT_STEP_ROWS = 500

_log = logging.getLogger(__name__)


class SqliteEmbeddingCache:
    """Vectors in the file ``path``, least recently used ones evicted beyond about ``max_bytes``.

    Not durable to the last commit (``synchronous = NORMAL``): a cache may forget. ``now_seconds`` is the clock of the
    uses.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, now_seconds: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._now = now_seconds
        self._writer = GroupCommitWriter(path, EMBEDDING_MIGRATIONS, synchronous="NORMAL")
        self._readers = ReaderPool(path, EMBEDDING_MIGRATIONS, threads=2)
        self._used: set[tuple[str, bytes]] = set()
        self._eviction: asyncio.Task[None] | None = None

    async def get_many(self, model: str, text_hashes: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float32]]:
        """Vectors by hash; see the port. They can't be written to."""
        stale_before = int(self._now()) - _USE_RESOLUTION_SECONDS

        def read(connection: sqlite3.Connection) -> list[tuple[bytes, bytes, int]]:
            sql = "SELECT text_hash, vector, used_at FROM vectors WHERE model = ? AND text_hash = ?"
            rows = (connection.execute(sql, (model, text_hash)).fetchone() for text_hash in text_hashes)
            return [row for row in rows if row is not None]

        try:
            found = await self._readers.run(read)
        except HeadwaterError as error:
            _log.warning("reading the embedding cache failed and counts as a miss: %s", error.reason)
            return {}
        self._used.update((model, text_hash) for text_hash, _, used_at in found if used_at < stale_before)
        return {text_hash: np.frombuffer(vector, np.float32) for text_hash, vector, _ in found}

    async def put_many(self, model: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Keeps the vectors for a while; a failure is logged."""
        items = list(vectors.items())
        used, self._used = self._used, set()
        now = int(self._now())
        total = 0
        try:
            await self._writer.run(lambda c: _note_uses(c, used, now))
            for first in range(0, len(items), _PUT_STEP_ROWS):
                step = items[first : first + _PUT_STEP_ROWS]
                total = await self._writer.run(partial(_put, model=model, items=step, now=now))
        except HeadwaterError as error:
            _log.warning("writing the embedding cache failed: %s", error.reason)
            return
        if total > self._max_bytes and (self._eviction is None or self._eviction.done()):
            self._eviction = asyncio.get_running_loop().create_task(self._evict(), name="embedding-cache-eviction")

    async def size_bytes(self) -> int:
        """About what the vectors take. Raises DependencyUnavailable."""
        return await self._readers.run(_total_bytes)

    async def close(self) -> None:
        """Finishes what is under way. Idempotent."""
        if self._eviction is not None:
            await asyncio.wait([self._eviction])
        await self._writer.close()
        await self._readers.close()

    async def _evict(self) -> None:
        target = int(self._max_bytes * _KEPT_AFTER_EVICTION)
        try:
            while await self._writer.run(lambda c: _evict_step(c, target)) > target:
                pass
        except HeadwaterError as error:
            _log.warning("evicting from the embedding cache failed and is tried again later: %s", error.reason)


def _put(
    connection: sqlite3.Connection, model: str, items: Sequence[tuple[bytes, NDArray[np.float32]]], now: int
) -> int:
    """Replaces the rows; returns the bytes held afterwards."""
    replaced = _delete(connection, "model = ? AND text_hash = ?", [(model, text_hash) for text_hash, _ in items])
    rows = [(model, h, np.ascontiguousarray(vector, np.float32).tobytes(), now) for h, vector in items]
    connection.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", rows)
    added = sum(len(row[2]) + _ROW_BYTES for row in rows)
    connection.execute("UPDATE usage SET bytes = bytes + ?", (added - replaced,))
    return _total_bytes(connection)


def _delete(connection: sqlite3.Connection, condition: str, keys: Iterable[tuple[object, ...]]) -> int:
    """Deletes rows by key; returns the bytes they took."""
    sql = f"DELETE FROM vectors WHERE {condition} RETURNING length(vector)"  # noqa: S608 - conditions of our own
    return sum(length + _ROW_BYTES for key in keys for (length,) in connection.execute(sql, key).fetchall())


def _evict_step(connection: sqlite3.Connection, target: int) -> int:
    """Removes some of the least recently used rows; returns the bytes held afterwards (``target`` when nothing is
    left)."""
    oldest = connection.execute(
        "SELECT rowid, length(vector) FROM vectors ORDER BY used_at LIMIT ?", (_EVICTION_STEP_ROWS,)
    ).fetchall()
    excess = _total_bytes(connection) - target
    victims = []
    for rowid, length in oldest:
        if excess <= 0:
            break
        victims.append((rowid,))
        excess -= length + _ROW_BYTES
    freed = _delete(connection, "rowid = ?", victims)
    connection.execute("UPDATE usage SET bytes = bytes - ?", (freed,))
    return _total_bytes(connection) if victims else target


def _note_uses(connection: sqlite3.Connection, used: Iterable[tuple[str, bytes]], now: int) -> None:
    connection.executemany(
        "UPDATE vectors SET used_at = ? WHERE model = ? AND text_hash = ?", [(now, *key) for key in used]
    )


def _total_bytes(connection: sqlite3.Connection) -> int:
    (total,) = connection.execute("SELECT bytes FROM usage").fetchone()
    return int(total)
