"""Reads in threads of their own, one connection each."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chassis.errors import DependencyUnavailable
from chassis.sqlite.connection import open_connection, translated
from chassis.sqlite.handback import Reply, deliver

T = TypeVar("T")
Read = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True)
class _Job:
    read: Read[Any]
    reply: Reply


class ReaderPool:
    """At most ``threads`` connections that see everything committed before the call, by any process. Opens them when
    first used."""

    def __init__(self, path: Path, migrations: Sequence[str], *, threads: int = 2) -> None:
        self._path = path
        self._migrations = migrations
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._most_threads = threads
        self._waiting = 0
        self._guard = threading.Lock()
        self._closed = False

    async def run(self, read: Read[T]) -> T:
        """Runs ``read`` in one of the threads. Raises DependencyUnavailable, and whatever ``read`` raises."""
        if self._closed:
            raise DependencyUnavailable("The embedded database is closed.", reason="STORAGE_CLOSED")
        job = _Job(read, Reply.to_this_task())
        with self._guard:
            self._waiting += 1
            if len(self._threads) < min(self._waiting, self._most_threads):
                self._start_thread()
        self._jobs.put(job)
        result: T = await job.reply.future
        return result

    async def close(self) -> None:
        """Waits for reads under way and closes the connections. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _start_thread(self) -> None:
        name = f"sqlite-reader-{self._path.name}_{len(self._threads)}"
        self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
        self._threads[-1].start()

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while (job := self._jobs.get()) is not None:
                if not job.reply.future.cancelled():
                    try:
                        connection = connection or open_connection(self._path, self._migrations, read_only=True)
                        job.reply.result = job.read(connection)
                    except sqlite3.Error as error:
                        job.reply.error = translated(error)
                        job.reply.error.__cause__ = error
                    except BaseException as error:
                        job.reply.error = error
                with self._guard:
                    self._waiting -= 1
                deliver([job.reply])
        finally:
            if connection is not None:
                connection.close()
