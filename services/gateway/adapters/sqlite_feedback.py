"""Feedback in ``answers.sqlite``, in the rows of the answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from chassis.sqlite.readers import ReaderPool
from chassis.sqlite.writer import GroupCommitWriter
from gateway.adapters.sqlite_answer_log import MIGRATIONS
from gateway.domain import Answer, LoggedAnswer
from gateway.feedback.domain import AskedQuestion, Feedback, RatedAnswer, asked, rated

_ANSWER: Final = TypeAdapter(Answer)
_FEEDBACK: Final = TypeAdapter(Feedback)


class SqliteFeedback:
    """A column of the answer log's table. Close it with ``close``.

    Connections of its own: a report reads thousands of rows, and nobody who asks a question waits for that.
    """

    def __init__(self, path: Path) -> None:
        self._writer = GroupCommitWriter(path, MIGRATIONS, synchronous="NORMAL")
        self._readers = ReaderPool(path, MIGRATIONS, threads=1)

    async def give(self, answer_id: str, feedback: Feedback) -> bool:
        """See the port."""
        row = (_FEEDBACK.dump_json(feedback).decode(), answer_id)

        def update(connection: sqlite3.Connection) -> bool:
            return connection.execute("UPDATE answers SET feedback = ? WHERE answer_id = ?", row).rowcount == 1

        return await self._writer.run(update)

    async def rated(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[RatedAnswer]:
        """See the port."""

        def read(connection: sqlite3.Connection) -> list[RatedAnswer]:
            rows = connection.execute(
                "SELECT question, answer, answered_at, feedback FROM answers"
                " WHERE tenant_id = ? AND feedback IS NOT NULL AND answered_at >= ?"
                " ORDER BY answered_at DESC, answer_id LIMIT ?",
                (tenant_id, _timestamp(since), limit),
            )
            return [rated(_entry(tenant_id, *row), _FEEDBACK.validate_json(feedback)) for *row, feedback in rows]

        return await self._readers.run(read)

    async def unanswered(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[AskedQuestion]:
        """See the port."""

        def read(connection: sqlite3.Connection) -> list[AskedQuestion]:
            rows = connection.execute(
                "SELECT question, answer, answered_at FROM answers"
                " WHERE tenant_id = ? AND json_extract(answer, '$.outcome') = 'abstained' AND answered_at >= ?"
                " ORDER BY answered_at DESC, answer_id LIMIT ?",
                (tenant_id, _timestamp(since), limit),
            )
            return [asked(_entry(tenant_id, *row)) for row in rows]

        return await self._readers.run(read)

    async def close(self) -> None:
        """Finishes what was given and closes the file. Idempotent."""
        await self._writer.close()
        await self._readers.close()


def _entry(tenant_id: str, question: str, answer: str, answered_at: float) -> LoggedAnswer:
    at = datetime.fromtimestamp(answered_at, UTC)
    return LoggedAnswer(tenant_id, "", question, _ANSWER.validate_json(answer), at)


def _timestamp(since: datetime | None) -> float:
    return since.timestamp() if since is not None else 0.0
