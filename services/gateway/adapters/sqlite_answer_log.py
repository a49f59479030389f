"""The answer log in ``answers.sqlite``."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from chassis.sqlite.readers import ReaderPool
from chassis.sqlite.writer import GroupCommitWriter
from gateway.domain import Answer, LoggedAnswer
from gateway.record.rows import record_of, record_text

MIGRATIONS: Final = (
    """
    CREATE TABLE answers (
        answer_id TEXT PRIMARY KEY,
        tenant_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        question TEXT NOT NULL,
        answer TEXT NOT NULL,
        answered_at REAL NOT NULL,
        rating TEXT,
        comment TEXT,
        rated_at REAL
    ) STRICT;
    CREATE INDEX answers_by_time ON answers (answered_at);
    """,
    """
    ALTER TABLE answers ADD COLUMN feedback TEXT;
    UPDATE answers SET feedback = json_object(
        'rating', rating,
        'given_at', strftime('%Y-%m-%dT%H:%M:%fZ', rated_at, 'unixepoch'),
        'comment', comment
    ) WHERE rating IS NOT NULL;
    ALTER TABLE answers DROP COLUMN rating;
    ALTER TABLE answers DROP COLUMN comment;
    ALTER TABLE answers DROP COLUMN rated_at;
    CREATE INDEX answers_rated ON answers (tenant_id, answered_at) WHERE feedback IS NOT NULL;
    CREATE INDEX answers_unanswered ON answers (tenant_id, answered_at)
        WHERE json_extract(answer, '$.outcome') = 'abstained';
    """,
    "ALTER TABLE answers ADD COLUMN record TEXT;",
)
"""``feedback`` is written and read by ``sqlite_feedback``."""
_ANSWER: Final = TypeAdapter(Answer)
_PURGE_ROWS: Final = 1000
"""Rows removed per transaction, so that answers being logged never wait long."""


class SqliteAnswerLog:
    """Answers as rows, with the answer itself as JSON. Close it with ``close``.

    A commit survives the death of the process; the last ones may be lost with the machine's power, which an answer
    log may.
    """

    def __init__(self, path: Path) -> None:
        self._writer = GroupCommitWriter(path, MIGRATIONS, synchronous="NORMAL")
        self._readers = ReaderPool(path, MIGRATIONS, threads=1)

    async def record(self, entry: LoggedAnswer) -> None:
        row = (
            entry.answer.answer_id,
            entry.tenant_id,
            entry.subject,
            entry.question,
            _ANSWER.dump_json(entry.answer).decode(),
            entry.answered_at.timestamp(),
            record_text(entry.record),
        )

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO answers (answer_id, tenant_id, subject, question, answer, answered_at, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                row,
            )

        await self._writer.run(insert)

    async def find(self, answer_id: str, tenant_id: str, subject: str | None) -> LoggedAnswer | None:
        def read(connection: sqlite3.Connection) -> tuple[str, str, str, float, str | None] | None:
            row: tuple[str, str, str, float, str | None] | None = connection.execute(
                "SELECT subject, question, answer, answered_at, record FROM answers"
                " WHERE answer_id = ? AND tenant_id = ? AND subject = coalesce(?, subject)",
                (answer_id, tenant_id, subject),
            ).fetchone()
            return row

        row = await self._readers.run(read)
        if row is None:
            return None
        asker, question, answer, answered_at, record = row
        return LoggedAnswer(
            tenant_id,
            asker,
            question,
            _ANSWER.validate_json(answer),
            datetime.fromtimestamp(answered_at, UTC),
            record_of(record),
        )

    async def forget_before(self, moment: datetime) -> int:
        def delete(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM answers WHERE answer_id IN (SELECT answer_id FROM answers WHERE answered_at < ? LIMIT ?)",
                (moment.timestamp(), _PURGE_ROWS),
            ).rowcount

        removed = 0
        while (batch := await self._writer.run(delete)) > 0:
            removed += batch
        return removed

    async def close(self) -> None:
        """Finishes what was recorded and closes the file. Idempotent."""
        await self._writer.close()
        await self._readers.close()
