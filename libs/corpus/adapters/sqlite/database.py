"""The file that heads, chunks, the change ledger and the registries share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from chassis.sqlite.readers import ReaderPool
from chassis.sqlite.writer import GroupCommitWriter
from corpus.adapters.sqlite.schema import CORPUS_MIGRATIONS

T = TypeVar("T")

_READER_THREADS = 4
"""More would only wait for one another: decoding rows holds the interpreter's lock."""


class CorpusDatabase:
    """One process's connections to ``corpus.sqlite``: one that writes, some that read. Opens the file at the first use.

    A commit is durable, and visible at once to every process.
    """

    def __init__(self, path: Path) -> None:
        self._writer = GroupCommitWriter(path, CORPUS_MIGRATIONS)
        self._readers = ReaderPool(path, CORPUS_MIGRATIONS, threads=_READER_THREADS)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs ``work`` in a transaction. Raises DependencyUnavailable, Overloaded, and what ``work`` raises."""
        return await self._writer.run(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs ``work`` on a reading connection. Raises DependencyUnavailable."""
        return await self._readers.run(work)

    async def close(self) -> None:
        """Finishes what is under way. Idempotent."""
        await self._writer.close()
        await self._readers.close()
