"""What a stack of these tests stands on, and what is really in its stores.

It stands on its data directory or, with ``HEADWATER_PROFILE=cluster``, on an installation of its own on the servers of
the run.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch
from uuid import uuid4

from tests.servers import profile

from chassis.eventlog.port import EventLog
from chassis.lifecycle import Lifecycle
from chassis.settings import read_settings
from corpus.engines import CorpusStores, Engines, open_engines
from retriever.settings import RetrieverSettings

T = TypeVar("T")


def settings() -> Mapping[str, str]:
    """What a new stack's services are told besides where their data is; its topics and indexes exist."""
    if os.environ.get("HEADWATER_PROFILE") != "cluster":
        return {}
    chosen = profile.settings(f"t{uuid4().hex[:8]}")
    command = [sys.executable, "-m", "headwater.cli", "admin", "init"]
    subprocess.run(command, env={**os.environ, **chosen}, check=True, capture_output=True)
    return chosen


@dataclass(frozen=True)
class Rows:
    """(chunk_id, chunks_version) of every row, by what says so."""

    heads: frozenset[tuple[str, int]]
    vectors: frozenset[tuple[str, int]]
    terms: frozenset[tuple[str, int]]


def rows(data: Path, chosen: Mapping[str, str], tenant_id: str) -> Rows:
    """What live heads name and what the indexes hold, read from the stores and not through the services."""

    async def look(stores: CorpusStores) -> Rows:
        active = await stores.generations.active()
        assert active is not None
        named = [each async for each in _named(stores, tenant_id)]
        return Rows(
            frozenset(named),
            frozenset((await stores.vectors.chunk_ids(active.name, tenant_id)).items()),
            frozenset((await stores.lexical.chunk_ids(active.name, tenant_id)).items()),
        )

    return asyncio.run(with_stores(data, chosen, look))


async def with_stores(data: Path, chosen: Mapping[str, str], look: Callable[[CorpusStores], Awaitable[T]]) -> T:
    """What is seen of the stores of a stack, beside its services."""
    async with _engines(data, chosen) as engines:
        return await look(await engines.stores(writable=False))


async def with_log(data: Path, chosen: Mapping[str, str], use: Callable[[EventLog], Awaitable[T]]) -> T:
    """Uses the event log of a stack, beside its services."""
    async with _engines(data, chosen) as engines:
        return await use(engines.event_log())


@asynccontextmanager
async def _engines(data: Path, chosen: Mapping[str, str]) -> AsyncIterator[Engines]:
    with patch.dict(os.environ, {**chosen, "HEADWATER_DATA_DIR": str(data)}):
        read = read_settings(RetrieverSettings)
    lifecycle = Lifecycle(read)
    async with lifecycle.stack:
        yield open_engines(lifecycle, read)


async def _named(stores: CorpusStores, tenant_id: str) -> AsyncIterator[tuple[str, int]]:
    for head in await stores.heads.list(tenant_id, limit=10_000):
        for chunk in await stores.chunks.chunks_of(head.key, head.chunks_version, head.generation):
            yield chunk.chunk_id, chunk.chunks_version
