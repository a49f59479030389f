"""Contract of the key-value cache, over every adapter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.metrics import CallbackOptions
from redis.asyncio import Redis
from tests.servers.addresses import address_of
from tests.servers.native import answers, free_port, spawn
from tests.servers.redis import prepare, start

from chassis.cache.memory import MemoryCache
from chassis.cache.port import Cache
from chassis.cache.redis import RedisCache
from chassis.clock import ManualClock
from chassis.endpoints import RedisEndpoint
from chassis.resilience.breaker import BreakerPolicy
from chassis.telemetry.metrics import CACHE_REQUESTS

ADAPTERS = (MemoryCache, pytest.param(RedisCache, marks=pytest.mark.cluster))

PATIENT_SECONDS = 10.0
"""Round trips on a machine that is busy with other tests; tests of impatience have caches of their own."""


@dataclass
class World:
    """One cache and its time."""

    cache: Cache
    clock: ManualClock = field(default_factory=ManualClock)
    prefix: str = ""

    @property
    def time_is_real(self) -> bool:
        """Whether nobody can move its clock."""
        return isinstance(self.cache, RedisCache)

    async def lives_milliseconds(self, key: str) -> int:
        """How long Redis keeps the key from now."""
        async with Redis.from_url(address_of("redis"), protocol=2) as raw:
            return int(await raw.pttl(f"{self.prefix}{key}"))


def redis_cache(prefix: str, **options) -> RedisCache:
    endpoint = RedisEndpoint(url=address_of("redis"))
    return RedisCache(endpoint, prefix=prefix, **{"timeout_seconds": PATIENT_SECONDS, **options})


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param is MemoryCache:
        clock = ManualClock()
        yield World(MemoryCache(10_000_000, clock.monotonic), clock)
        return
    prefix = f"test-{uuid4().hex}:"
    cache = redis_cache(prefix)
    yield World(cache, prefix=prefix)
    await cache.close()


@pytest.fixture
def cache(world: World) -> Cache:
    return world.cache


async def test_a_value_comes_back_until_it_is_deleted(cache: Cache) -> None:
    assert await cache.get("k") is None
    await cache.put("k", b"\x00v\xff", 60)
    assert await cache.get("k") == b"\x00v\xff"
    await cache.delete("k")
    await cache.delete("k")
    assert await cache.get("k") is None


async def test_an_empty_value_is_a_value(cache: Cache) -> None:
    await cache.put("k", b"", 60)
    assert await cache.get("k") == b""
    assert await cache.get_many(["k"]) == {"k": b""}


async def test_many_come_and_go_at_once(cache: Cache) -> None:
    values = {f"k{i}": f"v{i}".encode() for i in range(700)}
    await cache.put_many(values, 60)
    assert await cache.get_many([*values, "unknown", "k3"]) == values
    assert await cache.get("k699") == b"v699"
    await cache.put_many({"k0": b"new"}, 60)
    await cache.delete("k1")
    assert await cache.get_many(["k0", "k1", "k2"]) == {"k0": b"new", "k2": b"v2"}
    await cache.put_many({}, 60)
    assert await cache.get_many([]) == {}


@pytest.mark.parametrize("key", ["", "é\n ", "x" * 5000, "#" + "0" * 64, "a*b?[c]", "\ud800"])
async def test_keys_are_any_text_and_never_mixed_up(cache: Cache, key: str) -> None:
    await cache.put_many({key: b"1", key + "x": b"2"}, 60)
    assert await cache.get_many([key, key + "x", key + "xx"]) == {key: b"1", key + "x": b"2"}
    await cache.delete(key)
    assert await cache.get_many([key, key + "x"]) == {key + "x": b"2"}


async def test_a_value_lives_no_longer_than_asked_for(world: World) -> None:
    cache = world.cache
    await cache.put("short", b"1", 10)
    await cache.put("long", b"2", 100)
    await cache.put_many({"many": b"3"}, 10)
    if world.time_is_real:
        assert 0 < await world.lives_milliseconds("short") <= 10_000 < await world.lives_milliseconds("long") <= 100_000
        assert 0 < await world.lives_milliseconds("many") <= 10_000
        return
    world.clock.advance(9)
    assert await cache.get("short") == b"1"
    world.clock.advance(2)
    assert await cache.get_many(["short", "long", "many"]) == {"long": b"2"}


async def test_times_below_a_second_count(world: World) -> None:
    await world.cache.put("k", b"1", 0.2)
    world.clock.advance(0.3)
    deadline = time.monotonic() + 10
    while await world.cache.get("k") is not None:
        assert time.monotonic() < deadline
    await world.cache.put("k", b"1", 0.000001)
    world.clock.advance(0.001)
    while await world.cache.get("k") is not None:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("seconds", [0, 0.0, -1])
async def test_without_time_a_value_is_not_kept_and_the_former_one_forgotten(cache: Cache, seconds: float) -> None:
    await cache.put("k", b"1", 60)
    await cache.put("k", b"2", seconds)
    assert await cache.get("k") is None
    await cache.put_many({"a": b"1", "b": b"1"}, 60)
    await cache.put_many({"a": b"2"}, seconds)
    assert await cache.get_many(["a", "b"]) == {"b": b"1"}


async def test_a_very_long_time_is_fine(cache: Cache) -> None:
    await cache.put("k", b"1", 1e15)
    assert await cache.get("k") == b"1"


async def test_the_newest_value_and_its_time_win(world: World) -> None:
    cache = world.cache
    await cache.put("k", b"1", 1000)
    await cache.put("k", b"2", 10)
    assert await cache.get("k") == b"2"
    if world.time_is_real:
        assert 0 < await world.lives_milliseconds("k") <= 10_000
        return
    world.clock.advance(11)
    assert await cache.get("k") is None


async def test_callers_at_once_do_not_get_each_other_s_values(cache: Cache) -> None:
    async def one(i: int) -> None:
        await cache.put(f"k{i}", f"{i}".encode(), 60)
        assert await cache.get(f"k{i}") == f"{i}".encode()

    await asyncio.gather(*(one(i) for i in range(200)))


# Memory only: how much Redis holds and what goes first is Redis' own setting (maxmemory, maxmemory-policy).


async def test_least_recently_used_values_go_when_there_is_no_room() -> None:
    cache = MemoryCache(10_000)
    for i in range(4):
        await cache.put(f"k{i}", b"x" * 2200, 60)
    assert await cache.get("k0") is not None
    await cache.put("k4", b"x" * 2200, 60)
    assert await cache.get("k1") is None
    assert await cache.get("k0") is not None
    assert await cache.get("k4") is not None


async def test_many_tiny_values_stay_within_the_bound() -> None:
    cache = MemoryCache(10_000)
    await cache.put_many({f"{i}": b"" for i in range(1000)}, 60)
    assert len(await cache.get_many([f"{i}" for i in range(1000)])) < 60


async def test_a_value_larger_than_the_cache_is_forgotten_without_an_error() -> None:
    cache = MemoryCache(10_000)
    await cache.put("k", b"old", 60)
    await cache.put("k", b"x" * 20_000, 60)
    assert await cache.get("k") is None


# Redis only: other processes, and what goes wrong with a server


def counted(name: str, outcome: str) -> float:
    observed = CACHE_REQUESTS._callback(CallbackOptions())
    return sum(o.value for o in observed if o.attributes == {"cache": name, "outcome": outcome})


def unreachable(name: str, url: str = "redis://127.0.0.1:9/0", **options) -> RedisCache:
    return RedisCache(RedisEndpoint(url=url), name=name, **options)


async def test_a_server_that_is_not_there_reads_as_misses_which_are_counted() -> None:
    clock = ManualClock()
    cache = unreachable("absent", clock=clock, policy=BreakerPolicy(consecutive_failures=3, open_seconds=5))
    assert await cache.get("k") is None
    assert await cache.get_many(["a", "b"]) == {}
    await cache.put("k", b"1", 60)
    assert (counted("absent", "error"), counted("absent", "skipped")) == (4, 0)
    await cache.delete("k")
    await cache.put_many({"a": b"1", "b": b"2"}, 0)
    assert (counted("absent", "error"), counted("absent", "skipped")) == (4, 3)
    clock.advance(6)
    assert await cache.get("k") is None
    assert (counted("absent", "error"), counted("absent", "skipped")) == (5, 3)
    await cache.close()


async def test_a_server_that_hangs_costs_a_few_short_waits_and_then_none() -> None:
    taken: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    cache = unreachable("hanging", f"redis://127.0.0.1:{port}/0", timeout_seconds=0.05, clock=ManualClock())
    before = time.monotonic()
    for _ in range(1000):
        assert await cache.get("k") is None
    assert time.monotonic() - before < 5
    assert (counted("hanging", "error"), counted("hanging", "skipped")) == (3, 997)
    await cache.close()
    silent.close()
    for writer in taken:
        writer.close()
        await writer.wait_closed()


async def test_no_credentials_appear_in_logs_or_the_text_of_the_cache(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    endpoint = RedisEndpoint(url="redis://127.0.0.1:9/0", username="somebody", password="hunter2")
    cache = RedisCache(endpoint, name="secretive")
    for _ in range(5):
        await cache.get("private question")
    await cache.close()
    assert "left alone" in caplog.text
    for secret in ("hunter2", "private question"):
        assert secret not in caplog.text + repr(cache) + repr(endpoint)


@pytest.mark.cluster
async def test_replicas_share_values_and_installations_with_other_prefixes_do_not() -> None:
    mine, other = f"test-{uuid4().hex}:", f"test-{uuid4().hex}:"
    caches = [redis_cache(prefix) for prefix in (mine, mine, other)]
    await caches[0].put("k", b"1", 60)
    assert [await cache.get("k") for cache in caches] == [b"1", b"1", None]
    for cache in caches:
        await cache.close()


@pytest.mark.cluster
async def test_a_key_that_holds_something_else_is_a_miss_and_no_outage() -> None:
    name = f"odd-{uuid4().hex}"
    cache = redis_cache(f"{name}:", name=name)
    async with Redis.from_url(address_of("redis"), protocol=2) as raw:
        await raw.rpush(f"{name}:list", b"x")
        await raw.expire(f"{name}:list", 60)
    for _ in range(30):
        assert await cache.get("list") is None
    await cache.put("k", b"1", 60)
    assert await cache.get("k") == b"1"
    await cache.close()


@pytest.mark.cluster
async def test_the_cache_is_used_again_once_its_server_is_back(tmp_path: Path) -> None:
    clock = ManualClock()
    first = start(tmp_path)
    cache = RedisCache(RedisEndpoint(url=first.address), name="restarted", timeout_seconds=PATIENT_SECONDS, clock=clock)
    await cache.put("k", b"1", 60)
    first.stop()
    for _ in range(10):
        assert await cache.get("k") is None
    assert counted("restarted", "skipped") == 7
    second = start(tmp_path, port=int(first.address.rpartition(":")[2].removesuffix("/0")))
    clock.advance(10)
    await cache.put("k", b"2", 60)
    assert await cache.get("k") == b"2"
    await cache.close()
    second.stop()


@pytest.mark.cluster
async def test_a_password_is_asked_for_and_given(tmp_path: Path) -> None:
    running = start(tmp_path, password="hunter2")
    for password, expected in (("", None), ("wrong", None), ("hunter2", b"1")):
        endpoint = RedisEndpoint(url=running.address, password=password)
        cache = RedisCache(endpoint, name="locked", timeout_seconds=PATIENT_SECONDS)
        await cache.put("k", b"1", 60)
        assert await cache.get("k") == expected
        await cache.close()
    running.stop()


@pytest.mark.cluster
async def test_a_server_is_believed_only_with_a_certificate_of_the_named_authority(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    port = free_port()
    running = spawn(
        [
            *(str(prepare()), "--port", "0", "--tls-port", str(port), "--save", "", "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)),
        ],
        f"redis://127.0.0.1:{port}/0",
        log=tmp_path / "redis.log",
        ready=lambda: answers("127.0.0.1", port),
    )
    strange, _ = self_signed(tmp_path / "strange")
    for scheme, ca_file, expected in (
        ("redis", certificate, b"1"),
        ("rediss", certificate, b"1"),
        ("rediss", strange, None),
        ("rediss", None, None),
    ):
        endpoint = RedisEndpoint(url=running.address.replace("redis", scheme, 1), ca_file=ca_file)
        cache = RedisCache(endpoint, name="encrypted", timeout_seconds=PATIENT_SECONDS)
        await cache.put("k", b"1", 60)
        assert await cache.get("k") == expected
        await cache.close()
    running.stop()


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Files of a certificate for 127.0.0.1 and its key."""
    directory.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


async def test_a_connection_that_was_reset_under_a_write_reads_as_a_miss() -> None:
    """uvloop raises RuntimeError there, which nothing between it and the cache takes for a lost connection."""
    cache = unreachable("reset")

    async def write() -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    try:
        assert await cache._ask(write, 1) is None
    finally:
        await cache.close()
