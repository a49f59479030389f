"""The token ledger in ``tokens.sqlite``, which all gateways of one machine share."""

from __future__ import annotations

import sqlite3
from datetime import date
from pathlib import Path
from typing import Final

from chassis.sqlite.readers import ReaderPool
from chassis.sqlite.writer import GroupCommitWriter

_MIGRATIONS: Final = (
    """
    CREATE TABLE token_days (
        tenant_id TEXT NOT NULL,
        day TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, day)
    ) STRICT, WITHOUT ROWID;
    """,
)


class SqliteTokenLedger:
    """One row per tenant and day. Close it with ``close``.

    A commit survives the death of the process; with the machine's power the last ones may be lost, and their tokens are
    then free once more.
    """

    def __init__(self, path: Path) -> None:
        self._writer = GroupCommitWriter(path, _MIGRATIONS, synchronous="NORMAL")
        self._readers = ReaderPool(path, _MIGRATIONS, threads=1)

    async def take(self, tenant_id: str, day: date, tokens: int, limit: int) -> bool:
        """Counts what fits; see the port."""

        def write(connection: sqlite3.Connection) -> bool:
            if tokens > limit:
                return False
            return bool(
                connection.execute(
                    "INSERT INTO token_days VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
                    " SET tokens = tokens + excluded.tokens WHERE tokens + excluded.tokens <= ?",
                    (tenant_id, day.isoformat(), tokens, limit),
                ).rowcount
            )

        return await self._writer.run(write)

    async def correct(self, tenant_id: str, day: date, change: int) -> None:
        """Adds what was used besides, or takes back what was not; see the port."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO token_days VALUES (?, ?, max(0, ?)) ON CONFLICT DO UPDATE SET tokens = max(0, tokens + ?)",
                (tenant_id, day.isoformat(), change, change),
            )

        await self._writer.run(write)

    async def used(self, tenant_id: str, day: date) -> int:
        """The day's sum; see the port."""

        def read(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "SELECT tokens FROM token_days WHERE tenant_id = ? AND day = ?", (tenant_id, day.isoformat())
            ).fetchone()
            return int(row[0]) if row else 0

        return await self._readers.run(read)

    async def forget_before(self, day: date) -> int:
        """Removes earlier days; see the port."""

        def delete(connection: sqlite3.Connection) -> int:
            return connection.execute("DELETE FROM token_days WHERE day < ?", (day.isoformat(),)).rowcount

        return await self._writer.run(delete)

    async def close(self) -> None:
        """Finishes what was counted and closes the file. Idempotent."""
        await self._writer.close()
        await self._readers.close()
