"""Dead letters, contents known to be bad and halts, in corpus.sqlite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from chassis.clock import from_micros, to_micros
from corpus.adapters.letter_rows import letter_from_json, letter_to_json
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.dead_letters import Halt, KnownBad, Letter, LetterFilter


class SqliteDeadLetterStore:
    """Dead letters on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def get(self, letter_id: str) -> Letter | None:
        """The letter or None."""
        return await self._database.read(lambda c: _letter(c, letter_id))

    async def put(self, letter: Letter, *, expected: Letter | None) -> bool:
        """Compares and sets; see the port."""

        def work(connection: sqlite3.Connection) -> bool:
            if _letter(connection, letter.letter_id) != expected or letter == expected:
                return False
            connection.execute("INSERT OR REPLACE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _row_of(letter))
            return True

        return await self._database.write(work)

    async def list(
        self, which: LetterFilter, *, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> Sequence[Letter]:
        """A page of letters; see the port."""
        condition, values = _condition(which)
        if after is not None:
            condition += " AND (last_failed_at < ? OR (last_failed_at = ? AND letter_id > ?))"
            values += [to_micros(after[0]), to_micros(after[0]), after[1]]
        return await self._select(
            f"{condition} ORDER BY last_failed_at DESC, letter_id LIMIT ?", [*values, max(limit, 0)]
        )

    async def count(self, which: LetterFilter) -> int:
        """Letters that fit."""
        condition, values = _condition(which)
        sql = f"SELECT count(*) FROM letters WHERE {condition}"  # noqa: S608 - conditions of our own
        return int((await self._database.read(lambda c: c.execute(sql, values).fetchone()))[0])

    async def decided_before(self, moment: datetime, limit: int) -> Sequence[Letter]:
        """Letters decided long ago; see the port."""
        condition = "state IN ('replayed', 'discarded') AND decided_at < ? ORDER BY decided_at, letter_id LIMIT ?"
        return await self._select(condition, [to_micros(moment), max(limit, 0)])

    async def delete(self, letter_id: str) -> None:
        """Forgets a letter."""
        await self._database.write(lambda c: c.execute("DELETE FROM letters WHERE letter_id = ?", (letter_id,)))

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's letters."""
        await self._database.write(lambda c: c.execute("DELETE FROM letters WHERE tenant_id = ?", (tenant_id,)))

    async def _select(self, condition: str, values: Sequence[object]) -> Sequence[Letter]:
        sql = f"SELECT letter FROM letters WHERE {condition}"  # noqa: S608 - conditions of our own
        rows = await self._database.read(lambda c: c.execute(sql, values).fetchall())
        return [letter_from_json(json.loads(text)) for (text,) in rows]


class SqliteKnownBadContent:
    """Contents known to be bad on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def get(self, tenant_id: str, content_key: str) -> KnownBad | None:
        """The content or None."""
        sql = (
            "SELECT reason, message, first_seen_at, last_seen_at, times FROM known_bad"
            " WHERE tenant_id = ? AND content_key = ?"
        )
        row = await self._database.read(lambda c: c.execute(sql, (tenant_id, content_key)).fetchone())
        if row is None:
            return None
        reason, message, first, last, times = row
        return KnownBad(tenant_id, content_key, reason, message, from_micros(first), from_micros(last), times)

    async def note(self, seen: KnownBad) -> None:
        """Registers a content; see the port."""
        values = (
            seen.tenant_id,
            seen.content_key,
            seen.reason,
            seen.message,
            to_micros(seen.first_seen_at),
            to_micros(seen.last_seen_at),
            seen.times,
        )
        await self._database.write(
            lambda c: c.execute(
                "INSERT INTO known_bad VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " reason = excluded.reason, message = excluded.message, last_seen_at = excluded.last_seen_at,"
                " times = times + 1",
                values,
            )
        )

    async def forget(self, tenant_id: str, content_key: str) -> bool:
        """Removes a content."""
        sql = "DELETE FROM known_bad WHERE tenant_id = ? AND content_key = ?"
        return await self._database.write(lambda c: c.execute(sql, (tenant_id, content_key)).rowcount > 0)

    async def forget_before(self, moment: datetime, limit: int) -> int:
        """Removes contents not seen for long; see the port."""
        sql = (
            "DELETE FROM known_bad WHERE (tenant_id, content_key) IN"
            " (SELECT tenant_id, content_key FROM known_bad WHERE last_seen_at < ? LIMIT ?)"
        )
        return await self._database.write(lambda c: c.execute(sql, (to_micros(moment), max(limit, 0))).rowcount)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's contents."""
        await self._database.write(lambda c: c.execute("DELETE FROM known_bad WHERE tenant_id = ?", (tenant_id,)))


class SqliteHalts:
    """Halts on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def put(self, halt: Halt) -> None:
        """Says that a worker is halted."""
        values = (
            halt.worker,
            to_micros(halt.since),
            to_micros(halt.seen_at),
            halt.reason,
            halt.message,
            halt.rejections,
        )
        await self._database.write(
            lambda c: c.execute("INSERT OR REPLACE INTO halts VALUES (?, ?, ?, ?, ?, ?)", values)
        )

    async def clear(self, worker: str) -> None:
        """Says that it is not any more."""
        await self._database.write(lambda c: c.execute("DELETE FROM halts WHERE worker = ?", (worker,)))

    async def list(self) -> Sequence[Halt]:
        """Halted workers by name."""
        rows = await self._database.read(lambda c: c.execute("SELECT * FROM halts ORDER BY worker").fetchall())
        return [
            Halt(worker, from_micros(since), from_micros(seen_at), reason, message, rejections)
            for worker, since, seen_at, reason, message, rejections in rows
        ]

    async def request_resume(self, at: datetime) -> None:
        """Asks workers to go on; see the port."""
        sql = "INSERT INTO resume_requests VALUES (1, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)"
        await self._database.write(lambda c: c.execute(sql, (to_micros(at),)))

    async def resume_requested_at(self) -> datetime | None:
        """When that was asked for last."""
        row = await self._database.read(lambda c: c.execute("SELECT at FROM resume_requests").fetchone())
        return from_micros(row[0]) if row else None


def _letter(connection: sqlite3.Connection, letter_id: str) -> Letter | None:
    row = connection.execute("SELECT letter FROM letters WHERE letter_id = ?", (letter_id,)).fetchone()
    return letter_from_json(json.loads(row[0])) if row else None


def _row_of(letter: Letter) -> tuple[object, ...]:
    return (
        letter.letter_id,
        letter.state.value,
        letter.tenant_id,
        letter.document_id,
        letter.reason,
        to_micros(letter.last_failed_at),
        None if letter.decided_at is None else to_micros(letter.decided_at),
        json.dumps(letter_to_json(letter), ensure_ascii=False),
    )


def _condition(which: LetterFilter) -> tuple[str, list[object]]:
    parts: list[tuple[str, object]] = []
    if which.tenant_id:
        parts.append(("tenant_id = ?", which.tenant_id))
    if which.reason:
        parts.append(("reason = ?", which.reason))
    if which.document_prefix:
        # Not LIKE, which takes some letters for wildcards and ignores the case of others.
        parts.append(("substr(document_id, 1, length(?)) = ?", which.document_prefix))
    if which.state is not None:
        parts.append(("state = ?", which.state.value))
    values = [value for text, value in parts for _ in range(text.count("?"))]
    return " AND ".join(text for text, _ in parts) or "true", values
