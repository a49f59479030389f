"""Reads in threads of their own, one connection each."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from chassis.errors import DependencyUnavailable
from chassis.sqlite.connection import open_connection, translated

T = TypeVar("T")


class ReaderPool:
    """``threads`` connections that see everything committed before the call, by any process. Opens them when first
    used."""

    def __init__(self, path: Path, migrations: Sequence[str], *, threads: int = 2) -> None:
        self._path = path
        self._migrations = migrations
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"sqlite-reader-{path.name}")
        self._closed = False

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Runs ``read`` in one of the threads. Raises DependencyUnavailable."""
        if self._closed:
            raise DependencyUnavailable("The embedded database is closed.", reason="STORAGE_CLOSED")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, read)

    async def close(self) -> None:
        """Waits for reads under way and closes the connections. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        for connection in self._connections:
            connection.close()

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._open()
        try:
            return read(connection)
        except sqlite3.Error as error:
            raise translated(error) from error

    def _open(self) -> sqlite3.Connection:
        connection = open_connection(self._path, self._migrations, read_only=True)
        self._local.connection = connection
        with self._guard:
            self._connections.append(connection)
        return connection
