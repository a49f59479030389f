"""The token ledger in Redis, which all gateways of an installation share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any, Final, TypeVar

from redis.exceptions import ReadOnlyError, RedisError

from chassis.clock import Clock
from chassis.endpoints import RedisEndpoint
from chassis.errors import DependencyUnavailable
from chassis.redis_client import open_redis
from chassis.resilience.breaker import BreakerPolicy, CircuitBreaker
from chassis.telemetry import logger

TIMEOUT_SECONDS: Final = 1.0
"""Of one round trip, the wait for a connection included; a completion, which takes seconds, is refused after it."""
KEPT_SECONDS: Final = 2 * 24 * 3600
"""How long a day is kept after its last change."""

_POLICY: Final = BreakerPolicy(consecutive_failures=3, open_seconds=5.0)
_FORGOTTEN_DAYS: Final = 7
"""Days before these have expired by themselves."""
_RETRY_AFTER_SECONDS: Final = 1.0

# A script runs alone: nothing is counted between its look and its writing. Sums stay exact below 2^53.
_TAKE: Final = """
local used = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if used + tonumber(ARGV[2]) > tonumber(ARGV[3]) then
  return 0
end
redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
_CORRECT: Final = """
if redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2]) < 0 then
  redis.call('HSET', KEYS[1], ARGV[1], '0')
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

_T = TypeVar("_T")
_log = logger("budgets")


class RedisTokenLedger:
    """One hash per day with a field for each tenant. Close it with ``close``.

    All tenants of a day are under one key, so that where Redis also is a cache that is full, and forgets what was used
    longest ago, the day goes last. A command whose connection broke is not sent again: it may have been carried out.
    What is not known to be counted is refused, and what may be counted stays so.

    Args:
        endpoint: Where it is.
        prefix: Keeps installations that share a database apart.
        timeout_seconds: Of one round trip.
        clock: Of the breaker, which leaves Redis alone for seconds after a few failures.
    """

    def __init__(
        self,
        endpoint: RedisEndpoint,
        *,
        prefix: str = "headwater:",
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._client = open_redis(endpoint, timeout_seconds, repeats=0)
        self._prefix = prefix
        self._timeout_seconds = timeout_seconds
        self._breaker = CircuitBreaker("token-ledger", _POLICY, clock)
        self._take = self._client.register_script(_TAKE)
        self._correct = self._client.register_script(_CORRECT)

    async def take(self, tenant_id: str, day: date, tokens: int, limit: int) -> bool:
        """Counts what fits; see the port."""
        arguments: list[str | int] = [tenant_id, tokens, limit, KEPT_SECONDS]
        return bool(await self._ask(lambda: self._take(keys=[self._key(day)], args=arguments)))

    async def correct(self, tenant_id: str, day: date, change: int) -> None:
        """Adds what was used besides, or takes back what was not; see the port."""
        arguments: list[str | int] = [tenant_id, change, KEPT_SECONDS]
        await self._ask(lambda: self._correct(keys=[self._key(day)], args=arguments))

    async def used(self, tenant_id: str, day: date) -> int:
        """The day's sum; see the port."""
        found: Any = await self._ask(lambda: _awaited(self._client.hget(self._key(day), tenant_id)))
        return int(found or 0)

    async def forget_before(self, day: date) -> int:
        """Removes the week before; see the port. What is older has expired."""
        pipeline = self._client.pipeline(transaction=True)
        for days in range(1, _FORGOTTEN_DAYS + 1):
            key = self._key(day - timedelta(days=days))
            pipeline.hlen(key)
            pipeline.delete(key)
        counts = await self._ask(pipeline.execute)
        return sum(counts[::2])

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        await self._client.aclose()

    def _key(self, day: date) -> str:
        return f"{self._prefix}tokens:{day.isoformat()}"

    async def _ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """What ``call`` returns. Raises DependencyUnavailable for whatever keeps Redis from answering."""
        async with self._breaker.guard():
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    return await call()
            except (RedisError, OSError, TimeoutError, RuntimeError) as error:
                # RuntimeError is uvloop's word for a write to a connection that was reset a moment ago.
                _log.warning("the token ledger did not answer", error_type=type(error).__name__)
                if isinstance(error, ReadOnlyError):
                    # The server became a replica: its address leads to the new primary, this connection never will.
                    await self._client.connection_pool.disconnect(inuse_connections=False)
                raise DependencyUnavailable(
                    "The ledger of token budgets can't be reached or fails, so that nobody knows what is left: "
                    "retry later.",
                    reason="TOKEN_LEDGER_UNAVAILABLE",
                    retry_after_seconds=_RETRY_AFTER_SECONDS,
                ) from error


async def _awaited(found: Any) -> Any:
    """The client's types say "awaitable or not" of commands that both of its kinds have."""
    return await found
