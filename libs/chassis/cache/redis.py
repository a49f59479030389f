"""A cache that replicas share, in Redis (or Valkey, or whatever speaks its protocol)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from chassis.clock import Clock
from chassis.endpoints import RedisEndpoint
from chassis.errors import DependencyUnavailable
from chassis.redis_client import open_redis
from chassis.resilience.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from chassis.telemetry.metrics import BREAKER_OPEN, CACHE_REQUESTS

TIMEOUT_SECONDS: Final = 0.25
"""Of one round trip, the wait for a connection included: longer than any healthy answer takes, and short enough that
whoever asked still has time to do without."""

_POLICY: Final = BreakerPolicy(consecutive_failures=3, open_seconds=5.0)
"""A cache that hangs costs three waits, then one every five seconds."""

_KEYS_PER_TRIP: Final = 256
"""Of vectors of 384 dimensions, 400 KB: Redis serves nobody else while it works on one command."""
_MAX_KEY_BYTES: Final = 200
_MAX_TTL_SECONDS: Final = 10 * 365 * 24 * 3600.0
"""Redis counts milliseconds in 64 bits and refuses more."""

_log = logging.getLogger(__name__)


class RedisCache:
    """Values in one Redis database under keys that begin with ``prefix``.

    Connects when it is first used. Nothing here raises: while Redis can't be reached or does not answer in time, every
    lookup is a miss, and after a few failures it is left alone for seconds. How much it holds and what it forgets first
    is Redis' own setting (``maxmemory``, ``maxmemory-policy allkeys-lru``). Not for Redis Cluster: many keys go in one
    command.

    Args:
        endpoint: Where it is. TLS is used where the URL says ``rediss`` or a CA file is named.
        prefix: Keeps installations that share a database apart.
        name: Label of its metrics, and of its breaker.
        timeout_seconds: Of one round trip.
        policy: When it is left alone.
        clock: Of the breaker.
    """

    def __init__(
        self,
        endpoint: RedisEndpoint,
        *,
        prefix: str = "headwater:",
        name: str = "redis",
        timeout_seconds: float = TIMEOUT_SECONDS,
        policy: BreakerPolicy = _POLICY,
        clock: Clock | None = None,
    ) -> None:
        # A pooled connection that the server closed meanwhile is found out by using it: once more, on a new one.
        self._client = open_redis(endpoint, timeout_seconds, repeats=1)
        self._prefix = prefix.encode()
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._breaker = CircuitBreaker(name, policy, clock)
        self._was_open = False

    async def get(self, key: str) -> bytes | None:
        """The value or None; see the port."""
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Known values by key; see the port."""
        found: dict[str, bytes] = {}
        for first in range(0, len(keys), _KEYS_PER_TRIP):
            step = keys[first : first + _KEYS_PER_TRIP]
            values: list[bytes | None] | None = await self._ask(
                partial(self._client.mget, map(self._key, step)), len(step)
            )
            if values is None:
                continue
            hits = {key: value for key, value in zip(step, values, strict=True) if value is not None}
            CACHE_REQUESTS.add(len(hits), cache=self._name, outcome="hit")
            CACHE_REQUESTS.add(len(step) - len(hits), cache=self._name, outcome="miss")
            found |= hits
        return found

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps the value for a while; see the port."""
        await self.put_many({key: value}, ttl_seconds)

    async def put_many(self, values: Mapping[str, bytes], ttl_seconds: float) -> None:
        """Keeps the values for a while; see the port. Times are kept to the millisecond."""
        milliseconds = max(1, int(min(ttl_seconds, _MAX_TTL_SECONDS) * 1000))
        items = iter(values.items())
        while step := list(islice(items, _KEYS_PER_TRIP)):
            pipeline = self._client.pipeline(transaction=False)
            for key, value in step:
                if ttl_seconds > 0:
                    pipeline.set(self._key(key), value, px=milliseconds)
                else:
                    pipeline.delete(self._key(key))
            await self._ask(pipeline.execute, len(step))

    async def delete(self, key: str) -> None:
        """Forgets the key. While Redis can't be reached it does not: what must not be served again is checked
        elsewhere."""
        await self._ask(lambda: self._client.delete(self._key(key)), 1)

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        await self._client.aclose()

    def _key(self, key: str) -> bytes:
        name = key.encode("utf-8", "surrogatepass")
        # "#" marks a hash, so that no short key can be taken for one.
        if len(name) > _MAX_KEY_BYTES or name.startswith(b"#"):
            name = b"#" + hashlib.sha256(name).hexdigest().encode()
        return self._prefix + name

    async def _ask(self, call: Callable[[], Awaitable[Any]], keys: int) -> Any:
        """What ``call`` returns, which the client types too loosely, or None when there is no answer, which is counted
        for each of ``keys`` keys."""
        outcome = "error"
        try:
            async with self._breaker.guard():
                try:
                    async with asyncio.timeout(self._timeout_seconds):
                        return await call()
                except ResponseError as error:
                    # An answer, such as "out of memory" or "no permission": waiting does not help.
                    await self._note_refusal(error)
                except RuntimeError as error:
                    # uvloop's word for a write to a connection that was reset a moment ago; the client lets it through.
                    raise ConnectionResetError(str(error)) from error
        except DependencyUnavailable:
            outcome = "skipped"
        except (RedisError, OSError, TimeoutError) as error:
            _log.debug("the cache %s did not answer: %s", self._name, type(error).__name__)
        finally:
            self._note_state()
        CACHE_REQUESTS.add(keys, cache=self._name, outcome=outcome)
        return None

    async def _note_refusal(self, error: ResponseError) -> None:
        _log.warning("the cache %s refused a command: %s", self._name, type(error).__name__)
        if isinstance(error, ReadOnlyError):
            # The server became a replica: its address leads to the new primary, this connection never will.
            await self._client.connection_pool.disconnect(inuse_connections=False)

    def _note_state(self) -> None:
        is_open = self._breaker.state is BreakerState.OPEN
        if is_open is not self._was_open:
            self._was_open = is_open
            BREAKER_OPEN.set(float(is_open), dependency=self._name)
            if is_open:
                _log.warning("the cache %s can't be reached and is left alone for a moment", self._name)
