"""Noticing that a database file changed, in this process or another."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from chassis.errors import HeadwaterError
from chassis.sqlite.connection import open_connection

EAGER_SECONDS = 0.005
"""Interval of looks while something changed a moment ago: one event is often followed by the next."""

IDLE_SECONDS = 0.025
"""Interval of looks otherwise: half of it is the mean delay of an event from another process, and 50 looks/s cost about
0.3 % of a core."""

_EAGER_LOOKS = 100
_FAILED_SECONDS = 0.5

_log = logging.getLogger(__name__)


class ChangeWatcher:
    """Counts changes of one file. Its thread looks at SQLite's ``data_version`` while somebody waits, and sleeps
    otherwise."""

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._path = path
        self._migrations = migrations
        self._guard = threading.Condition()
        self._count = 0
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def count(self) -> int:
        """Rises with every change that was noticed."""
        return self._count

    def notify(self) -> None:
        """Tells of a change of this process's own at once. From any thread."""
        with self._guard:
            self._count += 1
            for event, loop in self._waiting.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    async def wait(self, seen: int, timeout_seconds: float) -> None:
        """Returns once ``count`` differs from ``seen``, or at the time-out. May return without a change."""
        event = asyncio.Event()
        with self._guard:
            if self._count != seen or self._closed:
                return
            self._waiting[event] = asyncio.get_running_loop()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name=f"sqlite-watcher-{self._path.name}", daemon=True
                )
                self._thread.start()
            self._guard.notify()
        try:
            async with asyncio.timeout(timeout_seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            with self._guard:
                self._waiting.pop(event, None)

    async def close(self) -> None:
        """Wakes who waits and ends the thread. Idempotent."""
        with self._guard:
            self._closed = True
            self._guard.notify()
        self.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        known = -1
        looks_left = _EAGER_LOOKS
        try:
            while self._somebody_waits():
                try:
                    connection = connection or open_connection(self._path, self._migrations, read_only=True)
                    (version,) = connection.execute("PRAGMA data_version").fetchone()
                except (HeadwaterError, sqlite3.Error):
                    # Whoever waits looks again at its time-out, and meets the error itself where it can be reported.
                    _log.debug("looking for changes failed")
                    time.sleep(_FAILED_SECONDS)
                    continue
                if version != known:
                    # The first look is a change too: what came before it is not known.
                    known, looks_left = version, _EAGER_LOOKS
                    self.notify()
                looks_left = max(looks_left - 1, 0)
                time.sleep(EAGER_SECONDS if looks_left else IDLE_SECONDS)
        finally:
            if connection is not None:
                connection.close()

    def _somebody_waits(self) -> bool:
        with self._guard:
            while not self._waiting and not self._closed:
                self._guard.wait()
            return not self._closed
