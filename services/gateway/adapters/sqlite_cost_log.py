"""The cost log in ``costs.sqlite``."""

from __future__ import annotations

import sqlite3
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from chassis.sqlite.readers import ReaderPool
from chassis.sqlite.writer import GroupCommitWriter
from gateway.costs.domain import AMOUNT_DECIMALS, CostEntry, CostQuery, CostRow, Grouping, Stage

_MIGRATIONS: Final = (
    """
    CREATE TABLE costs (
        day TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        stage TEXT NOT NULL,
        currency TEXT NOT NULL,
        quantity INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        questions INTEGER NOT NULL,
        PRIMARY KEY (day, tenant_id, subject, stage, currency)
    ) STRICT, WITHOUT ROWID;
    """,
)
_ADD: Final = """
    INSERT INTO costs VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET
        quantity = quantity + excluded.quantity, unpriced = unpriced + excluded.unpriced,
        amount = amount + excluded.amount, questions = questions + 1
"""
_COLUMNS: Final = {
    Grouping.STAGE: "'', ''",
    Grouping.TENANT: "tenant_id, ''",
    Grouping.USER: "tenant_id, subject",
}
_ORDER: Final = {stage.value: place for place, stage in enumerate(Stage)}


class SqliteCostLog:
    """One row per day, tenant, user, stage and currency, so that it grows with users and not with questions. Close it
    with ``close``.

    Amounts are whole millionths of a millionth of the currency: a row holds nine million of it.
    """

    def __init__(self, path: Path) -> None:
        self._writer = GroupCommitWriter(path, _MIGRATIONS, synchronous="NORMAL")
        self._readers = ReaderPool(path, _MIGRATIONS, threads=1)

    async def record(self, entry: CostEntry) -> None:
        """Adds a question; see the port."""
        rows = [
            (
                entry.day.isoformat(),
                entry.tenant_id,
                entry.subject,
                each.stage.value,
                entry.cost.currency,
                each.quantity,
                each.quantity if each.amount is None else 0,
                _as_integer(each.amount or Decimal(0)),
            )
            for each in entry.cost.stages
            if each.quantity or each.amount
        ]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(_ADD, rows)

        await self._writer.run(write)

    async def report(self, query: CostQuery) -> tuple[CostRow, ...]:
        """Sums; see the port."""
        statement = (
            f"SELECT {_COLUMNS[query.by]}, stage, currency, sum(quantity), sum(unpriced), sum(amount), sum(questions)"  # noqa: S608 - ours
            " FROM costs WHERE day BETWEEN ? AND ? AND (? IS NULL OR tenant_id = ?) GROUP BY 1, 2, 3, 4"
        )
        period = (query.since.isoformat(), query.until.isoformat(), query.tenant_id, query.tenant_id)

        def read(connection: sqlite3.Connection) -> list[tuple[str, str, str, str, int, int, int, int]]:
            return connection.execute(statement, period).fetchall()

        found = [
            CostRow(tenant, subject, Stage(stage), currency, quantity, unpriced, _as_decimal(amount), questions)
            for tenant, subject, stage, currency, quantity, unpriced, amount, questions in await self._readers.run(read)
        ]
        return tuple(sorted(found, key=lambda row: (row.tenant_id, row.subject, _ORDER[row.stage], row.currency)))

    async def forget_before(self, day: date) -> int:
        """Removes earlier days; see the port."""

        def delete(connection: sqlite3.Connection) -> int:
            return connection.execute("DELETE FROM costs WHERE day < ?", (day.isoformat(),)).rowcount

        return await self._writer.run(delete)

    async def close(self) -> None:
        """Finishes what was recorded and closes the file. Idempotent."""
        await self._writer.close()
        await self._readers.close()


def _as_integer(amount: Decimal) -> int:
    return int(amount.scaleb(AMOUNT_DECIMALS))


def _as_decimal(amount: int) -> Decimal:
    return Decimal(amount).scaleb(-AMOUNT_DECIMALS).normalize() + 0
