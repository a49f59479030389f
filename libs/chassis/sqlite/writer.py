"""Group commit: writes of many callers share one transaction and one fsync."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from chassis.errors import DependencyUnavailable, HeadwaterError, Overloaded
from chassis.sqlite.connection import Synchronous, open_connection, translated
from chassis.sqlite.handback import Reply, deliver

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BATCH_SECONDS = 0.005
"""Work that one transaction may gather: as long as an fsync takes on a common disk, so nobody waits much for others'
work."""

GATHER_SECONDS = 0.001
"""Wait for the next write of callers that wrote together before: a fraction of the fsync that it saves."""

QUEUE_LIMIT = 10_000
"""Queued writes beyond which new ones are refused: seconds of work, far more than the callers' own limits let in."""


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    reply: Reply = field(default_factory=Reply.to_this_task)


class GroupCommitWriter:
    """One thread with the one writing connection of this process to one file.

    Each ``run`` is atomic by itself: it fails alone, unless the transaction as a whole can't be committed. Jobs are
    done in the order of the calls. Opens the file at the first use.
    """

    def __init__(self, path: Path, migrations: Sequence[str], *, synchronous: Synchronous = "FULL") -> None:
        self._path = path
        self._migrations = migrations
        self._synchronous = synchronous
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._last_batch = 0
        self.on_commit: Callable[[], None] | None = None
        """Called in the writer's thread after each commit."""

    async def run(self, work: Work[T]) -> T:
        """Runs ``work`` in the writer's thread inside a transaction and returns its result once that is committed.

        Raises DependencyUnavailable, Overloaded STORAGE_QUEUE_FULL, and whatever ``work`` raises (its writes are then
        undone). After a cancellation the outcome is unknown.
        """
        if self._closed:
            raise _closed_error()
        if self._jobs.qsize() >= QUEUE_LIMIT:
            raise Overloaded("Too many writes are waiting.", reason="STORAGE_QUEUE_FULL", retry_after_seconds=1.0)
        self._ensure_thread()
        job = _Job(work)
        self._jobs.put(job)
        result: T = await job.reply.future
        return result

    async def close(self) -> None:
        """Finishes the queued writes and closes the connection. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"sqlite-writer-{self._path.name}", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while (job := self._jobs.get()) is not None:
                batch: list[_Job] = []
                try:
                    if connection is None:
                        connection = open_connection(self._path, self._migrations, synchronous=self._synchronous)
                    stop = self._commit_together(connection, job, batch)
                except HeadwaterError as error:
                    # A file that can't even be opened or locked: whoever queues fails too, instead of waiting for one
                    # time-out after another.
                    _settle(batch or _claimed([job, *self._queued()]), error)
                    continue
                _settle(batch, None)
                if stop:
                    return
        finally:
            self._abandon_queue()
            if connection is not None:
                connection.close()

    def _commit_together(self, connection: sqlite3.Connection, job: _Job, batch: list[_Job]) -> bool:
        """Fills and commits one transaction; True when the writer is to stop. Raises when the whole batch failed."""
        stop = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            deadline = time.monotonic() + BATCH_SECONDS
            following: _Job | None = job
            while following is not None:
                for claimed in _claimed([following]):
                    batch.append(claimed)
                    _attempt(connection, claimed)
                if time.monotonic() >= deadline:
                    break
                try:
                    following = self._next_job(len(batch))
                    stop = following is None
                except queue.Empty:
                    break
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if stop:
                self._jobs.put(None)
            raise translated(error) from error
        self._last_batch = len(batch)
        if self.on_commit is not None:
            self.on_commit()
        return stop

    def _next_job(self, gathered: int) -> _Job | None:
        # Callers whose writes shared the last commit tend to come back together: they are worth a short wait.
        if gathered < self._last_batch:
            return self._jobs.get(timeout=GATHER_SECONDS)
        return self._jobs.get_nowait()

    def _abandon_queue(self) -> None:
        self._closed = True
        _settle(_claimed(self._queued()), _closed_error())

    def _queued(self) -> list[_Job]:
        """Takes the jobs that wait now; a request to stop stays in the queue."""
        taken: list[_Job] = []
        with suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)
                    return taken
                taken.append(job)
        return taken


def _attempt(connection: sqlite3.Connection, job: _Job) -> None:
    """Runs one job in a savepoint. Re-raises an SQLite error that took the whole transaction down."""
    connection.execute("SAVEPOINT job")
    try:
        job.reply.result = job.work(connection)
    except BaseException as error:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO job")
        job.reply.error = translated(error) if isinstance(error, sqlite3.Error) else error
    connection.execute("RELEASE job")


def _claimed(jobs: Sequence[_Job]) -> list[_Job]:
    """Those whose callers still wait."""
    return [job for job in jobs if not job.reply.future.cancelled()]


def _closed_error() -> DependencyUnavailable:
    return DependencyUnavailable("The embedded database is closed.", reason="STORAGE_CLOSED")


def _settle(batch: Sequence[_Job], failure: BaseException | None) -> None:
    for job in batch:
        job.reply.error = failure or job.reply.error
    deliver([job.reply for job in batch])
