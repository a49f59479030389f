"""Contract of the key-value cache, over every adapter."""

from __future__ import annotations

import pytest

from chassis.cache.memory import MemoryCache
from chassis.cache.port import Cache

ADAPTERS = (MemoryCache,)


class Clock:
    """Seconds that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
def cache(request: pytest.FixtureRequest, clock: Clock) -> Cache:
    made: Cache = request.param(10_000, clock)
    return made


async def test_a_value_comes_back_until_it_is_deleted(cache: Cache) -> None:
    assert await cache.get("k") is None
    await cache.put("k", b"\x00v", 60)
    assert await cache.get("k") == b"\x00v"
    await cache.delete("k")
    await cache.delete("k")
    assert await cache.get("k") is None


async def test_an_empty_value_is_a_value(cache: Cache) -> None:
    await cache.put("k", b"", 60)
    assert await cache.get("k") == b""


async def test_a_value_lives_no_longer_than_asked_for(cache: Cache, clock: Clock) -> None:
    await cache.put("short", b"1", 10)
    await cache.put("long", b"2", 100)
    await cache.put("none", b"3", 0)
    clock.now += 9
    assert await cache.get("short") == b"1"
    clock.now += 2
    assert await cache.get("short") is None
    assert await cache.get("none") is None
    assert await cache.get("long") == b"2"


async def test_the_newest_value_and_its_time_win(cache: Cache, clock: Clock) -> None:
    await cache.put("k", b"1", 1000)
    await cache.put("k", b"2", 10)
    assert await cache.get("k") == b"2"
    clock.now += 11
    assert await cache.get("k") is None


async def test_least_recently_used_values_go_when_there_is_no_room(cache: Cache) -> None:
    for i in range(4):
        await cache.put(f"k{i}", b"x" * 2200, 60)
    assert await cache.get("k0") is not None
    await cache.put("k4", b"x" * 2200, 60)
    assert await cache.get("k1") is None
    assert await cache.get("k0") is not None
    assert await cache.get("k4") is not None


async def test_many_tiny_values_stay_within_the_bound(cache: Cache) -> None:
    for i in range(1000):
        await cache.put(f"{i}", b"", 60)
    assert sum([await cache.get(f"{i}") is not None for i in range(1000)]) < 60


async def test_a_value_larger_than_the_cache_is_forgotten_without_an_error(cache: Cache) -> None:
    await cache.put("k", b"old", 60)
    await cache.put("k", b"x" * 20_000, 60)
    assert await cache.get("k") is None
