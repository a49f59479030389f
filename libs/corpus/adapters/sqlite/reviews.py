"""The review queue in corpus.sqlite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from chassis.clock import to_micros
from corpus.adapters.review_rows import item_from_json, item_to_json
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.reviews import ReviewItem, ReviewState


class SqliteReviewQueue:
    """Items on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def get(self, tenant_id: str, review_id: str) -> ReviewItem | None:
        """The item or None."""
        item = await self._database.read(lambda c: _item(c, review_id))
        return item if item is not None and item.key.tenant_id == tenant_id else None

    async def put(self, item: ReviewItem, *, expected: ReviewItem | None) -> bool:
        """Compares and sets; see the port."""
        row = (
            item.review_id,
            item.key.tenant_id,
            item.state.value,
            to_micros(item.raised_at),
            json.dumps(item_to_json(item), ensure_ascii=False),
        )

        def work(connection: sqlite3.Connection) -> bool:
            if _item(connection, item.review_id) != expected or item == expected:
                return False
            connection.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?, ?, ?, ?)", row)
            return True

        return await self._database.write(work)

    async def list(
        self,
        tenant_id: str,
        state: ReviewState | None = None,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> Sequence[ReviewItem]:
        """A page of items; see the port."""
        sql, values = "SELECT item FROM reviews WHERE tenant_id = ?", [tenant_id]
        rest: list[object] = []
        if state is not None:
            sql += " AND state = ?"
            rest.append(state.value)
        if after is not None:
            sql += " AND (raised_at < ? OR (raised_at = ? AND review_id > ?))"
            rest += [to_micros(after[0]), to_micros(after[0]), after[1]]
        sql += " ORDER BY raised_at DESC, review_id LIMIT ?"
        wanted = (*values, *rest, max(limit, 0))
        rows = await self._database.read(lambda c: c.execute(sql, wanted).fetchall())
        return [item_from_json(json.loads(text)) for (text,) in rows]

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's items."""
        await self._database.write(lambda c: c.execute("DELETE FROM reviews WHERE tenant_id = ?", (tenant_id,)))


def _item(connection: sqlite3.Connection, review_id: str) -> ReviewItem | None:
    row = connection.execute("SELECT item FROM reviews WHERE review_id = ?", (review_id,)).fetchone()
    return item_from_json(json.loads(row[0])) if row else None
