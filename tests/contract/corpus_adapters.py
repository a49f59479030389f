"""Opens the adapters of the corpus ports for their suites."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chassis.elasticsearch.client import Store, open_store
from chassis.elasticsearch.indexes import IndexSpec, create
from chassis.endpoints import ElasticsearchEndpoint
from corpus.adapters.sqlite.database import CorpusDatabase

P = TypeVar("P")


@asynccontextmanager
async def opened(adapter: Callable[..., P], directory: Path) -> AsyncIterator[Callable[[], P]]:
    """Yields a function that opens the adapter as one more process would see it.

    An adapter in memory has one process only, so it gives the same instance again. One over a server has an
    installation of its own there.
    """
    if getattr(adapter, "__name__", "").startswith("Elasticsearch"):
        async with elasticsearch_installation(sys.modules[adapter.__module__].SPECS) as open_connection:
            yield lambda: adapter(open_connection())
        return
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


@asynccontextmanager
async def elasticsearch_installation(specs: tuple[IndexSpec, ...]) -> AsyncIterator[Callable[[], Store]]:
    """Creates the indexes under a prefix that nobody else has, and yields a function that opens one more connection.
    Everything under the prefix is removed afterwards."""
    url = os.environ.get("HEADWATER_TEST_ELASTICSEARCH", "")
    if not url:
        pytest.fail("HEADWATER_TEST_ELASTICSEARCH is not set: make test-integration starts the server and sets it")
    endpoint = ElasticsearchEndpoint(url=url, prefix=f"t{uuid.uuid4().hex[:12]}", replicas=0)
    stores = [open_store(endpoint)]

    def open_connection() -> Store:
        stores.append(open_store(endpoint))
        return stores[-1]

    try:
        for spec in specs:
            await create(stores[0], spec)
        yield open_connection
    finally:
        indexes = stores[0].client.indices
        for index in (await indexes.get(index=f"{endpoint.prefix}-*")).body:
            await indexes.delete(index=index)
        for store in stores:
            await store.close()


def name_of(adapter: Any) -> str:
    """Test id."""
    return str(adapter.__name__)
