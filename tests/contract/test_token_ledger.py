"""Contract of the token ledger, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from tests.servers.addresses import address_of
from tests.servers.native import free_port
from tests.servers.redis import start

from chassis.clock import ManualClock
from chassis.endpoints import RedisEndpoint
from chassis.errors import DependencyUnavailable
from gateway.adapters.memory_token_ledger import MemoryTokenLedger
from gateway.adapters.redis_token_ledger import KEPT_SECONDS, RedisTokenLedger
from gateway.adapters.sqlite_token_ledger import SqliteTokenLedger
from gateway.costs.ports import TokenLedger

ADAPTERS = (MemoryTokenLedger, SqliteTokenLedger, pytest.param(RedisTokenLedger, marks=pytest.mark.cluster))
DAY, NEXT = date(2026, 11, 21), date(2026, 11, 22)
PATIENT_SECONDS = 10.0
"""Round trips on a machine that is busy with other tests."""


def redis_ledger(prefix: str, url: str = "", **options: Any) -> RedisTokenLedger:
    endpoint = RedisEndpoint(url=url or address_of("redis"))
    return RedisTokenLedger(endpoint, prefix=prefix, **{"timeout_seconds": PATIENT_SECONDS, **options})


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TokenLedger]:
    adapter: Any = request.param
    if adapter is MemoryTokenLedger:
        yield MemoryTokenLedger()
        return
    if adapter is RedisTokenLedger:
        shared = redis_ledger(f"test-{uuid4().hex}:")
        yield shared
        await shared.close()
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


@pytest.mark.cluster
async def test_gateways_in_a_cluster_share_one_count() -> None:
    prefix = f"test-{uuid4().hex}:"
    ledgers = [redis_ledger(prefix) for _ in range(3)]
    taken = await asyncio.gather(*(each.take("acme", DAY, 7, 100) for each in ledgers for _ in range(20)))
    assert sum(taken) == 14
    assert [await each.used("acme", DAY) for each in ledgers] == [98] * 3
    for each in ledgers:
        await each.close()


@pytest.mark.cluster
async def test_a_day_expires_by_itself() -> None:
    prefix = f"test-{uuid4().hex}:"
    ledger = redis_ledger(prefix)
    await ledger.take("acme", DAY, 1, 100)
    await ledger.correct("acme", NEXT, 5)
    async with Redis.from_url(address_of("redis"), protocol=2) as raw:
        keys = [key async for key in raw.scan_iter(match=f"{prefix}*")]
        assert len(keys) == 2
        for key in keys:
            assert 0 < await raw.ttl(key) <= KEPT_SECONDS
    await ledger.close()


@pytest.mark.cluster
async def test_sums_beyond_32_bits_are_exact() -> None:
    ledger = redis_ledger(f"test-{uuid4().hex}:")
    assert await ledger.take("acme", DAY, 2**52, 2**52 + 3)
    assert not await ledger.take("acme", DAY, 4, 2**52 + 3)
    assert await ledger.take("acme", DAY, 3, 2**52 + 3)
    assert await ledger.used("acme", DAY) == 2**52 + 3
    await ledger.close()


@pytest.mark.cluster
async def test_a_server_that_will_not_let_us_in_admits_nothing(tmp_path: Path) -> None:
    running = start(tmp_path, password="hunter2")
    for password, admitted in (("", False), ("wrong", False), ("hunter2", True)):
        ledger = RedisTokenLedger(
            RedisEndpoint(url=running.address, password=password), timeout_seconds=PATIENT_SECONDS
        )
        if admitted:
            assert await ledger.take("acme", DAY, 1, 100)
        else:
            with pytest.raises(DependencyUnavailable):
                await ledger.take("acme", DAY, 1, 100)
        await ledger.close()
    running.stop()


@pytest.mark.cluster
async def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    port = free_port()
    running = start(tmp_path, port=port)
    clock = ManualClock()
    ledger = redis_ledger("t:", running.address, clock=clock)
    assert await ledger.take("acme", DAY, 60, 100)
    running.stop()
    for _ in range(5):
        with pytest.raises(DependencyUnavailable):
            await ledger.take("acme", DAY, 1, 100)
    running = start(tmp_path, port=port)
    clock.advance(60)
    assert await ledger.take("acme", DAY, 1, 100)
    await ledger.close()
    running.stop()


@pytest.mark.parametrize("call", ["take", "correct", "used", "forget_before"])
async def test_without_its_server_a_shared_ledger_admits_nothing_and_says_so(call: str) -> None:
    ledger = redis_ledger("t:", f"redis://127.0.0.1:{free_port()}/0")
    calls = {
        "take": lambda: ledger.take("acme", DAY, 0, 100),
        "correct": lambda: ledger.correct("acme", DAY, -1),
        "used": lambda: ledger.used("acme", DAY),
        "forget_before": lambda: ledger.forget_before(DAY),
    }
    for reason in ["TOKEN_LEDGER_UNAVAILABLE"] * 3 + ["CIRCUIT_OPEN"]:
        with pytest.raises(DependencyUnavailable) as caught:
            await calls[call]()
        assert caught.value.reason == reason
        assert caught.value.retry_after_seconds
    await ledger.close()
