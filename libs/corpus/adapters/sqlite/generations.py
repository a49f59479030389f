"""The registry of generations in corpus.sqlite."""

from __future__ import annotations

import sqlite3

from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.domain import Generation
from corpus.generation_plan import GenerationPlan, plan_from_text, plan_to_text


class SqliteGenerations:
    """Generations on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def activate(self, generation: Generation) -> None:
        """Makes the generation the active one; see the port."""

        def work(connection: sqlite3.Connection) -> None:
            plan = _read(connection)
            if plan is None or plan.active != generation:
                first = GenerationPlan(plan.revision + 1 if plan else 1, generation)
                row = (first.revision, plan_to_text(first))
                connection.execute("INSERT OR REPLACE INTO generation_plan VALUES (1, ?, ?)", row)

        await self._database.write(work)

    async def active(self) -> Generation | None:
        """The active generation, or None before the first."""
        plan = await self.plan()
        return plan.active if plan else None

    async def plan(self) -> GenerationPlan | None:
        """The plan, or None before the first generation."""
        return await self._database.read(_read)

    async def change(self, plan: GenerationPlan) -> bool:
        """Replaces the plan; see the port."""
        row = (plan.revision, plan_to_text(plan), plan.revision - 1)
        sql = "UPDATE generation_plan SET revision = ?, plan = ? WHERE revision = ?"
        return await self._database.write(lambda c: c.execute(sql, row).rowcount) == 1

    async def note(self, generation: str, about: str, text: str) -> None:
        """Keeps a text; see the port."""
        sql = "INSERT OR REPLACE INTO generation_notes VALUES (?, ?, ?)"
        await self._database.write(lambda c: c.execute(sql, (generation, about, text)))

    async def noted(self, generation: str, about: str) -> str:
        """The text, or ""."""
        sql = "SELECT text FROM generation_notes WHERE generation = ? AND about = ?"
        row = await self._database.read(lambda c: c.execute(sql, (generation, about)).fetchone())
        return str(row[0]) if row else ""

    async def forget(self, generation: str) -> None:
        """Removes all texts about the generation."""
        await self._database.write(
            lambda c: c.execute("DELETE FROM generation_notes WHERE generation = ?", (generation,))
        )


def _read(connection: sqlite3.Connection) -> GenerationPlan | None:
    row = connection.execute("SELECT plan FROM generation_plan").fetchone()
    return plan_from_text(row[0]) if row else None
