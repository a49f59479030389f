"""Contract of the token ledger, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.memory_token_ledger import MemoryTokenLedger
from gateway.adapters.sqlite_token_ledger import SqliteTokenLedger
from gateway.costs.ports import TokenLedger

ADAPTERS = (MemoryTokenLedger, SqliteTokenLedger)
DAY, NEXT = date(2026, 11, 21), date(2026, 11, 22)


@pytest.fixture(params=ADAPTERS)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TokenLedger]:
    adapter: Any = request.param
    if adapter is MemoryTokenLedger:
        yield MemoryTokenLedger()
        return
    opened = SqliteTokenLedger(tmp_path / "tokens.sqlite")
    yield opened
    await opened.close()


async def test_what_fits_is_taken_to_the_last_token_and_no_further(ledger: TokenLedger) -> None:
    assert await ledger.take("acme", DAY, 60, 100)
    assert await ledger.take("acme", DAY, 40, 100)
    assert not await ledger.take("acme", DAY, 1, 100)
    assert await ledger.used("acme", DAY) == 100


async def test_what_does_not_fit_is_not_counted_even_as_the_first(ledger: TokenLedger) -> None:
    assert not await ledger.take("acme", DAY, 101, 100)
    assert await ledger.used("acme", DAY) == 0


async def test_days_and_tenants_are_counted_apart(ledger: TokenLedger) -> None:
    assert await ledger.take("acme", DAY, 100, 100)
    assert await ledger.take("acme", NEXT, 100, 100)
    assert await ledger.take("Acme", DAY, 100, 100)


async def test_takings_side_by_side_never_exceed_the_limit(ledger: TokenLedger) -> None:
    taken = await asyncio.gather(*(ledger.take("acme", DAY, 7, 100) for _ in range(60)))

    assert sum(taken) == 14
    assert await ledger.used("acme", DAY) == 98


async def test_a_correction_is_never_refused_and_never_leaves_less_than_nothing(ledger: TokenLedger) -> None:
    assert await ledger.take("acme", DAY, 60, 100)
    await ledger.correct("acme", DAY, 90)
    assert await ledger.used("acme", DAY) == 150
    await ledger.correct("acme", DAY, -500)
    assert await ledger.used("acme", DAY) == 0
    await ledger.correct("acme", NEXT, -5)
    await ledger.correct("acme", NEXT, 5)
    assert await ledger.used("acme", NEXT) == 5


async def test_a_lower_limit_refuses_what_a_higher_one_would_take(ledger: TokenLedger) -> None:
    assert await ledger.take("acme", DAY, 60, 100)
    assert not await ledger.take("acme", DAY, 0, 50)
    assert await ledger.take("acme", DAY, 60, 120)


async def test_earlier_days_are_forgotten_and_the_day_itself_is_not(ledger: TokenLedger) -> None:
    await ledger.take("acme", DAY, 1, 100)
    await ledger.take("acme", NEXT, 2, 100)

    assert await ledger.forget_before(NEXT) == 1
    assert await ledger.forget_before(NEXT) == 0
    assert await ledger.used("acme", DAY) == 0
    assert await ledger.used("acme", NEXT) == 2


async def test_a_restart_keeps_what_was_taken_and_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite"
    first, second = SqliteTokenLedger(path), SqliteTokenLedger(path)
    taken = await asyncio.gather(*(each.take("acme", DAY, 10, 100) for each in (first, second) for _ in range(20)))
    assert sum(taken) == 10
    await first.close()
    await second.close()

    third = SqliteTokenLedger(path)
    assert await third.used("acme", DAY) == 100
    assert not await third.take("acme", DAY, 1, 100)
    await third.close()
