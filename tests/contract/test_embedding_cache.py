"""Contract of the embedding cache, over every adapter."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.servers.addresses import address_of

from chassis.cache.memory import MemoryCache
from chassis.cache.redis import RedisCache
from chassis.clock import ManualClock
from chassis.endpoints import RedisEndpoint
from corpus.adapters.keyvalue.embedding_cache import KeyValueEmbeddingCache
from corpus.adapters.memory.embedding_cache import MemoryEmbeddingCache
from corpus.adapters.sqlite.embedding_cache import SqliteEmbeddingCache
from corpus.ports import EmbeddingCache

ADAPTERS = (
    MemoryEmbeddingCache,
    SqliteEmbeddingCache,
    KeyValueEmbeddingCache,
    pytest.param((KeyValueEmbeddingCache, RedisCache), id="KeyValueEmbeddingCache-Redis", marks=pytest.mark.cluster),
)
"""The adapter; over the key-value cache, which lives in memory unless another one is named."""

Make = Callable[[int], EmbeddingCache]
RNG = np.random.default_rng(1)


class Clock:
    """Seconds that the test moves."""

    now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def name_of(adapter: object) -> str | None:
    return getattr(adapter, "__name__", None)


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Make]:
    opened: list[SqliteEmbeddingCache | RedisCache] = []

    def open_one(max_bytes: int) -> EmbeddingCache:
        if request.param is MemoryEmbeddingCache:
            return MemoryEmbeddingCache(max_bytes)
        if request.param is KeyValueEmbeddingCache:
            return KeyValueEmbeddingCache(MemoryCache(max_bytes))
        if isinstance(request.param, tuple):
            endpoint = RedisEndpoint(url=address_of("redis"))
            redis = RedisCache(endpoint, prefix=f"test-{uuid4().hex}:", timeout_seconds=10)
            opened.append(redis)
            return KeyValueEmbeddingCache(redis, ttl_seconds=300)
        sqlite = SqliteEmbeddingCache(tmp_path / "embeddings.sqlite", max_bytes=max_bytes, now_seconds=clock)
        opened.append(sqlite)
        return sqlite

    yield open_one
    for cache in opened:
        await cache.close()


@pytest.fixture
def cache(make: Make) -> EmbeddingCache:
    return make(10_000_000)


def hash_of(text: str) -> bytes:
    return sha256(text.encode()).digest()


def vectors(*texts: str, dimensions: int = 384) -> dict[bytes, NDArray[np.float32]]:
    return {hash_of(text): RNG.standard_normal(dimensions, dtype=np.float32) for text in texts}


async def test_vectors_come_back_bit_for_bit(cache: EmbeddingCache) -> None:
    put = vectors("a", "b", "c")
    await cache.put_many("model", put)
    found = await cache.get_many("model", [*put, hash_of("unknown")])
    assert found.keys() == put.keys()
    for text_hash, vector in put.items():
        assert found[text_hash].dtype == np.float32
        assert found[text_hash].shape == (384,)
        assert found[text_hash].tobytes() == vector.tobytes()


async def test_nothing_asked_or_put_is_fine(cache: EmbeddingCache) -> None:
    await cache.put_many("model", {})
    assert await cache.get_many("model", []) == {}


async def test_models_do_not_mix(cache: EmbeddingCache) -> None:
    await cache.put_many("one@1", vectors("a"))
    assert await cache.get_many("one@2", [hash_of("a")]) == {}
    await cache.put_many("one@2", vectors("a", dimensions=16))
    assert (await cache.get_many("one@1", [hash_of("a")]))[hash_of("a")].shape == (384,)
    assert (await cache.get_many("one@2", [hash_of("a")]))[hash_of("a")].shape == (16,)


async def test_the_last_put_wins(cache: EmbeddingCache) -> None:
    for _ in range(2):
        put = vectors("a")
        await cache.put_many("model", put)
        assert (await cache.get_many("model", [hash_of("a")]))[hash_of("a")].tobytes() == put[hash_of("a")].tobytes()


async def test_what_the_caller_does_to_its_array_afterwards_does_not_matter(cache: EmbeddingCache) -> None:
    put = vectors("a")
    kept = put[hash_of("a")].tobytes()
    await cache.put_many("model", put)
    put[hash_of("a")][:] = 0
    assert (await cache.get_many("model", [hash_of("a")]))[hash_of("a")].tobytes() == kept


async def test_many_at_once(cache: EmbeddingCache) -> None:
    put = vectors(*(f"{i}" for i in range(1700)), dimensions=8)
    await cache.put_many("model", put)
    assert len(await cache.get_many("model", list(put))) == 1700


async def test_least_recently_used_vectors_go_beyond_the_bound(
    make: Make, clock: Clock, request: pytest.FixtureRequest
) -> None:
    if "Redis" in request.node.name:
        pytest.skip("how much Redis holds, and what goes first, is a setting of the server")
    dimensions = 4096  # large, so that the overhead of an entry does not matter
    cache = make(150 * 4 * dimensions)
    old = vectors(*(f"old {i}" for i in range(50)), dimensions=dimensions)
    used = vectors(*(f"used {i}" for i in range(50)), dimensions=dimensions)
    await cache.put_many("model", {**old, **used})
    clock.now += 10_000
    assert len(await cache.get_many("model", list(used))) == 50
    for i in range(8):
        clock.now += 10
        await cache.put_many("model", vectors(*(f"new {i} {j}" for j in range(10)), dimensions=dimensions))
    deadline = time.monotonic() + 20
    while len(await cache.get_many("model", list(old))) > 21:
        assert time.monotonic() < deadline
    assert len(await cache.get_many("model", list(used))) == 50


# Over the key-value cache only


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: b"",
        lambda value: value[:-1],
        lambda value: value + b"\0",
        lambda value: value[4:],
        lambda value: b"\0" * 4,
        lambda value: b"\xff" * len(value),
    ],
)
async def test_a_damaged_value_is_a_miss(damage: Callable[[bytes], bytes]) -> None:
    class Kept(MemoryCache):
        async def get_many(self, keys):
            return {key: damage(value) for key, value in (await super().get_many(keys)).items()}

    cache = KeyValueEmbeddingCache(Kept(1_000_000))
    await cache.put_many("model", vectors("a", "b"))
    assert await cache.get_many("model", [hash_of("a"), hash_of("b")]) == {}


async def test_vectors_are_kept_as_long_as_was_said() -> None:
    clock = ManualClock()
    cache = KeyValueEmbeddingCache(MemoryCache(1_000_000, clock.monotonic), ttl_seconds=60)
    await cache.put_many("model", vectors("a"))
    clock.advance(59)
    assert len(await cache.get_many("model", [hash_of("a")])) == 1
    clock.advance(2)
    assert await cache.get_many("model", [hash_of("a")]) == {}


# SQLite only


async def test_the_file_stays_about_the_bound_and_serves_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.sqlite"
    cache = SqliteEmbeddingCache(path, max_bytes=100_000)
    for i in range(20):
        await cache.put_many("model", vectors(*(f"{i}/{j}" for j in range(20))))
    await cache.close()
    again = SqliteEmbeddingCache(path, max_bytes=100_000)
    assert 0 < await again.size_bytes() <= 100_000
    count = len(await again.get_many("model", [hash_of(f"{i}/{j}") for i in range(20) for j in range(20)]))
    assert await again.size_bytes() == count * (384 * 4 + 150)
    await again.close()


async def test_failures_read_as_misses(tmp_path: Path) -> None:
    (tmp_path / "embeddings.sqlite").write_bytes(b"not a database" * 1000)
    cache = SqliteEmbeddingCache(tmp_path / "embeddings.sqlite")
    await cache.put_many("model", vectors("a"))
    assert await cache.get_many("model", [hash_of("a")]) == {}
    await cache.close()
    await cache.put_many("model", vectors("a"))
    assert await cache.get_many("model", [hash_of("a")]) == {}
