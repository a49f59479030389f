"""The registry of generations in corpus.sqlite."""

from __future__ import annotations

import sqlite3

from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.domain import Generation

_COLUMNS = "name, model_id, model_revision, dimensions, chunker, analyser"


class SqliteGenerations:
    """Generations on one machine; all but the active one are kept for a way back."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def activate(self, generation: Generation) -> None:
        """Registers the generation and makes it the active one."""
        row = (
            generation.name,
            generation.model_id,
            generation.model_revision,
            generation.dimensions,
            generation.chunker,
            generation.analyser,
        )

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(f"INSERT OR REPLACE INTO generations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608
            connection.execute("INSERT OR REPLACE INTO active_generation VALUES (1, ?)", (generation.name,))

        await self._database.write(work)

    async def active(self) -> Generation | None:
        """The active generation, or None before the first."""

        def read(connection: sqlite3.Connection) -> Generation | None:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM generations JOIN active_generation USING (name)"  # noqa: S608
            ).fetchone()
            return Generation(*row) if row else None

        return await self._database.read(read)
