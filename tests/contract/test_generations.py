"""Contract of the registry of generations, over every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened

from corpus.adapters.elasticsearch.generations import ElasticsearchGenerations
from corpus.adapters.memory.generations import MemoryGenerations
from corpus.adapters.sqlite.generations import SqliteGenerations
from corpus.domain import Generation
from corpus.ports import Generations

ADAPTERS = (MemoryGenerations, SqliteGenerations, pytest.param(ElasticsearchGenerations, marks=pytest.mark.cluster))

ONE = Generation("gone", "all-MiniLM-L6-v2", "rev1", 384, "chunker-1", "analyser-1")
TWO = Generation("gtwo", "bge-small", "rev2", 512, "chunker-2", "analyser-1")


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_generations(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Generations]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


async def test_before_the_first_there_is_none(open_generations: Callable[[], Generations]) -> None:
    assert await open_generations().active() is None


async def test_the_generation_that_was_activated_last_is_active_everywhere(
    open_generations: Callable[[], Generations],
) -> None:
    writer, reader = open_generations(), open_generations()
    for generation in (ONE, ONE, TWO, TWO, ONE):
        await writer.activate(generation)
        assert await reader.active() == generation
