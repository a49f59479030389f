"""Opening SQLite files the same way everywhere, and what SQLite's errors mean in the error tree."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from chassis.errors import Defect, DependencyUnavailable, HeadwaterError

BUSY_TIMEOUT_SECONDS = 5.0
"""How long a write waits for another process's write: thousands of times a normal one, short enough to be noticed."""

_RETRY_AFTER_SECONDS = 1.0
_CACHE_KIB = 16 * 1024

Synchronous = Literal["FULL", "NORMAL"]

_TRANSIENT_REASONS = {
    sqlite3.SQLITE_BUSY: "STORAGE_BUSY",
    sqlite3.SQLITE_LOCKED: "STORAGE_BUSY",
    sqlite3.SQLITE_FULL: "STORAGE_FULL",
}


def open_connection(
    path: Path, migrations: Sequence[str], *, synchronous: Synchronous = "FULL", read_only: bool = False
) -> sqlite3.Connection:
    """Opens ``path`` in WAL mode, creates it and its schema when missing; the connection is for the calling thread.

    ``synchronous`` FULL makes each commit durable, NORMAL may lose the last ones in a power failure (for caches). Each
    migration is one SQL script, applied once and in order, also when several processes start together. Raises
    DependencyUnavailable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Each connection is used by one thread; only closing may come from another, after that thread has ended.
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, cached_statements=256, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise _as_unavailable(error) from error
    try:
        _enter_wal_mode(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        _migrate(connection, migrations)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        raise translated(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def translated(error: sqlite3.Error) -> HeadwaterError:
    """The error tree's view of an SQLite error: a full disk is a dependency's failure, wrong SQL is a defect."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    programming = isinstance(error, (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.InterfaceError))
    if programming or code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE):
        return Defect("The embedded database refused a statement.", metadata={"sqlite": _name_of(error)})
    return _as_unavailable(error)


def _as_unavailable(error: Exception) -> DependencyUnavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    reason = _TRANSIENT_REASONS.get(code, "STORAGE_UNAVAILABLE")
    message = {
        "STORAGE_BUSY": "The embedded database is locked by another process; try again shortly.",
        "STORAGE_FULL": "The disk that holds the data directory is full; free some space.",
    }.get(reason, "The embedded database can't be read or written; check the data directory and its disk.")
    return DependencyUnavailable(
        message, reason=reason, metadata={"sqlite": _name_of(error)}, retry_after_seconds=_RETRY_AFTER_SECONDS
    )


def _name_of(error: Exception) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def _enter_wal_mode(connection: sqlite3.Connection) -> None:
    # The switch takes an exclusive lock and does not wait for it as statements do, so that processes starting together
    # would fail.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    if _schema_version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (version INTEGER PRIMARY KEY, applied_at REAL NOT NULL) STRICT"
        )
        present = _schema_version(connection)
        if present > len(migrations):
            raise DependencyUnavailable(
                "The data directory was written by a newer release; use that release.", reason="STORAGE_TOO_NEW"
            )
        for version, script in enumerate(migrations[present:], start=present + 1):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_migrations VALUES (?, ?)", (version, time.time()))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _schema_version(connection: sqlite3.Connection) -> int:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'").fetchone():
        return 0
    (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").fetchone()
    return int(version)


def _statements(script: str) -> list[str]:
    # executescript() would commit the surrounding transaction, so the script is cut at complete statements.
    found, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return found
