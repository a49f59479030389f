"""Contract of the board of halted workers, over every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW

from corpus.adapters.elasticsearch.dead_letters import ElasticsearchHalts
from corpus.adapters.memory.dead_letters import MemoryHalts
from corpus.adapters.sqlite.dead_letters import SqliteHalts
from corpus.dead_letters import Halt, Halts

ADAPTERS = (
    MemoryHalts,
    SqliteHalts,
    pytest.param(ElasticsearchHalts, marks=pytest.mark.cluster),
)
LATER = NOW + timedelta(seconds=5)
HALT = Halt("node-1/77", NOW, NOW, "PARSER_CRASHED", "The parsers crash.", 100)


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_board(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Halts]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def board(open_board: Callable[[], Halts]) -> Halts:
    return open_board()


async def test_every_process_sees_who_is_halted(open_board: Callable[[], Halts]) -> None:
    other = replace(HALT, worker="node-0/5")
    await open_board().put(HALT)
    await open_board().put(other)
    assert list(await open_board().list()) == [other, HALT]


async def test_a_worker_replaces_what_it_said_before(board: Halts) -> None:
    await board.put(HALT)
    await board.put(replace(HALT, seen_at=LATER))
    assert list(await board.list()) == [replace(HALT, seen_at=LATER)]


async def test_a_worker_that_goes_on_is_gone_from_the_list(board: Halts) -> None:
    await board.put(HALT)
    for _ in range(2):
        await board.clear(HALT.worker)
    assert list(await board.list()) == []


async def test_the_latest_request_to_go_on_counts_and_is_no_halt(open_board: Callable[[], Halts]) -> None:
    board = open_board()
    assert await board.resume_requested_at() is None
    await board.request_resume(LATER)
    await board.request_resume(NOW)
    await board.request_resume(LATER)
    assert await open_board().resume_requested_at() == LATER
    assert list(await board.list()) == []
