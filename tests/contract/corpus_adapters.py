"""Opens the adapters of the corpus ports for their suites."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from corpus.adapters.sqlite.database import CorpusDatabase

P = TypeVar("P")


@asynccontextmanager
async def opened(adapter: Callable[..., P], directory: Path) -> AsyncIterator[Callable[[], P]]:
    """Yields a function that opens the adapter as one more process would see it.

    An adapter in memory has one process only, so it gives the same instance again.
    """
    databases: list[CorpusDatabase] = []
    only: list[P] = []

    def open_one() -> P:
        if getattr(adapter, "__name__", "").startswith("Memory"):
            if not only:
                only.append(adapter())
            return only[0]
        databases.append(CorpusDatabase(directory / "corpus.sqlite"))
        return adapter(databases[-1])

    yield open_one
    for database in databases:
        await database.close()


def name_of(adapter: Any) -> str:
    """Test id."""
    return str(adapter.__name__)
