"""The change ledger in corpus.sqlite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from chassis.clock import from_micros, to_micros
from corpus.adapters.rules import discarded, earlier_record, reopened, require_terminal
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.values import id_list
from corpus.domain import ChangeKind, ChangeRecord, ChangeState, DocumentKey
from corpus.ports import Aged

_COLUMNS = (
    "event_id, tenant_id, document_id, version, kind, state, accepted_at, fingerprint, finished_at, reason, message,"
    " attempts, trace_id, replays"
)
_SELECT = f"SELECT {_COLUMNS} FROM changes"  # noqa: S608 - names of our own


class SqliteChangeLedger:
    """What became of every accepted event, on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def accept(self, record: ChangeRecord) -> ChangeRecord:
        """Records a pending change; see the port."""

        def work(connection: sqlite3.Connection) -> ChangeRecord:
            key = (record.key.tenant_id, record.key.document_id, record.version)
            known = connection.execute(f"{_SELECT} WHERE event_id = ?", (record.event_id,)).fetchone()
            known = (
                known
                or connection.execute(
                    f"{_SELECT} WHERE tenant_id = ? AND document_id = ? AND version = ?", key
                ).fetchone()
            )
            if known:
                return earlier_record(_record_of(known), record)
            connection.execute(
                f"INSERT INTO changes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                _row_of(record),
            )
            return record

        return await self._database.write(work)

    async def finish(
        self, event_id: str, state: ChangeState, *, at: datetime, reason: str = "", message: str = "", attempts: int = 0
    ) -> None:
        """Sets a terminal state unless one is set; see the port."""
        require_terminal(state)
        values = (state.value, to_micros(at), reason, message, attempts, event_id)
        await self._database.write(
            lambda c: c.execute(
                "UPDATE changes SET state = ?, finished_at = ?, reason = ?, message = ?, attempts = max(attempts, ?)"
                " WHERE event_id = ? AND state = 'pending'",
                values,
            )
        )

    async def note_failure(self, event_id: str, *, reason: str, message: str, attempts: int) -> None:
        """Notes why a change is still pending; see the port."""
        await self._database.write(
            lambda c: c.execute(
                "UPDATE changes SET reason = ?, message = ?, attempts = ? WHERE event_id = ? AND state = 'pending'",
                (reason, message, attempts, event_id),
            )
        )

    async def reopen(self, event_id: str, *, replay: int) -> ChangeRecord | None:
        """Makes a dead-lettered change pending again; see the port."""
        return await self._decide(event_id, lambda known: reopened(known, replay))

    async def discard(self, event_id: str, *, at: datetime, message: str) -> ChangeRecord | None:
        """Gives a dead-lettered change up; see the port."""
        return await self._decide(event_id, lambda known: discarded(known, at, message))

    async def _decide(self, event_id: str, decision: Callable[[ChangeRecord], ChangeRecord]) -> ChangeRecord | None:
        def work(connection: sqlite3.Connection) -> ChangeRecord | None:
            row = connection.execute(f"{_SELECT} WHERE event_id = ?", (event_id,)).fetchone()
            if row is None:
                return None
            record = decision(_record_of(row))
            at = None if record.finished_at is None else to_micros(record.finished_at)
            connection.execute(
                "UPDATE changes SET state = ?, finished_at = ?, message = ?, replays = ? WHERE event_id = ?",
                (record.state.value, at, record.message, record.replays, event_id),
            )
            return record

        return await self._database.write(work)

    async def get_many(self, tenant_id: str, event_ids: Collection[str]) -> Mapping[str, ChangeRecord]:
        """Records by event id; unknown ids are left out."""
        records = await self._select(
            "tenant_id = ? AND event_id IN (SELECT value FROM json_each(?))", tenant_id, id_list(event_ids)
        )
        return {record.event_id: record for record in records}

    async def find(self, key: DocumentKey, version: int) -> ChangeRecord | None:
        """The change with this version."""
        condition = "tenant_id = ? AND document_id = ? AND version = ?"
        return next(iter(await self._select(condition, key.tenant_id, key.document_id, version)), None)

    async def newest(self, key: DocumentKey, limit: int = 20) -> Sequence[ChangeRecord]:
        """The document's changes, greatest version first."""
        return await self._select(
            "tenant_id = ? AND document_id = ? ORDER BY version DESC LIMIT ?",
            key.tenant_id,
            key.document_id,
            max(limit, 0),
        )

    async def latest_versions(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, int]:
        """Greatest accepted version by document id; see the port."""
        sql = (
            "SELECT document_id, max(version) FROM changes"
            " WHERE tenant_id = ? AND document_id IN (SELECT value FROM json_each(?)) GROUP BY document_id"
        )
        return await self._database.read(lambda c: dict(c.execute(sql, (tenant_id, id_list(document_ids))).fetchall()))

    async def oldest_pending(
        self, tenant_id: str, limit: int, *, after: tuple[datetime, str] | None = None
    ) -> Sequence[ChangeRecord]:
        """Pending changes in the order of their acceptance."""
        # Every acceptance is after the epoch, and no event id comes before the empty one.
        at, event_id = (to_micros(after[0]), after[1]) if after else (-1, "")
        return await self._select(
            "tenant_id = ? AND state = 'pending' AND (accepted_at, event_id) > (?, ?)"
            " ORDER BY accepted_at, event_id LIMIT ?",
            tenant_id,
            at,
            event_id,
            max(limit, 0),
        )

    async def newest_dead_letters(self, tenant_id: str, limit: int) -> Sequence[ChangeRecord]:
        """Dead-lettered changes, those that ended last first."""
        return await self._select(
            "tenant_id = ? AND state = 'dead_lettered' ORDER BY finished_at DESC, event_id LIMIT ?",
            tenant_id,
            max(limit, 0),
        )

    async def counts(self, tenant_id: str) -> Mapping[ChangeState, int]:
        """Changes by state; see the port."""
        sql = "SELECT state, count(*) FROM changes WHERE tenant_id = ? GROUP BY state"
        rows = await self._database.read(lambda c: c.execute(sql, (tenant_id,)).fetchall())
        return {ChangeState(state): count for state, count in rows}

    async def age_out(
        self,
        tenant_id: str,
        finished_before: datetime,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 500,
    ) -> Aged:
        """Removes changes that ended long ago; see the port."""
        at, event_id = (to_micros(after[0]), after[1]) if after else (-1, "")
        # Looked for beside the writer, which others wait for.
        page = await self._select(
            "tenant_id = ? AND state NOT IN ('pending', 'dead_lettered') AND (finished_at, event_id) > (?, ?)"
            " AND finished_at < ? ORDER BY finished_at, event_id LIMIT ?",
            tenant_id,
            at,
            event_id,
            to_micros(finished_before),
            limit,
        )

        def work(connection: sqlite3.Connection) -> int:
            return sum(
                connection.execute(
                    "DELETE FROM changes WHERE event_id = ? AND EXISTS (SELECT 1 FROM changes AS newer"
                    " WHERE newer.tenant_id = ? AND newer.document_id = ? AND newer.version > ?)",
                    (record.event_id, tenant_id, record.key.document_id, record.version),
                ).rowcount
                for record in page
            )

        removed = await self._database.write(work) if page else 0
        last = page[-1] if len(page) == limit else None
        return Aged(removed, (last.finished_at, last.event_id) if last and last.finished_at else None)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's rows."""
        await self._database.write(lambda c: c.execute("DELETE FROM changes WHERE tenant_id = ?", (tenant_id,)))

    async def _select(self, condition: str, *values: object) -> list[ChangeRecord]:
        def read(connection: sqlite3.Connection) -> list[ChangeRecord]:
            return [_record_of(row) for row in connection.execute(f"{_SELECT} WHERE {condition}", values)]

        return await self._database.read(read)


def _row_of(record: ChangeRecord) -> tuple[object, ...]:
    return (
        record.event_id,
        record.key.tenant_id,
        record.key.document_id,
        record.version,
        record.kind.value,
        record.state.value,
        to_micros(record.accepted_at),
        record.fingerprint,
        None if record.finished_at is None else to_micros(record.finished_at),
        record.reason,
        record.message,
        record.attempts,
        record.trace_id,
        record.replays,
    )


def _record_of(row: tuple[Any, ...]) -> ChangeRecord:
    event_id, tenant_id, document_id, version, kind, state, accepted_at, fingerprint, finished_at, *rest = row
    return ChangeRecord(
        event_id,
        DocumentKey(tenant_id, document_id),
        version,
        ChangeKind(kind),
        ChangeState(state),
        from_micros(accepted_at),
        fingerprint,
        None if finished_at is None else from_micros(finished_at),
        *rest,
    )
