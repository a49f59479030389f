"""The one way in which this package connects to Redis."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from chassis.endpoints import RedisEndpoint

_MAX_CONNECTIONS: Final = 32


def open_redis(endpoint: RedisEndpoint, timeout_seconds: float, *, repeats: int) -> Redis:
    """Connects when it is first used. TLS is used where the URL says ``rediss`` or a CA file is named.

    Args:
        endpoint: Where it is.
        timeout_seconds: Of one round trip, and of the wait for a connection.
        repeats: How often a command is sent again, on a new connection, whose connection broke under it. It may have
            been carried out the first time, so 0 for what must not be done twice.
    """
    url = endpoint.url
    options: dict[str, Any] = {
        "max_connections": _MAX_CONNECTIONS,
        "timeout": timeout_seconds,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "protocol": 2,
        "retry": Retry(NoBackoff(), repeats, supported_errors=(RedisConnectionError,)),
    }
    if endpoint.username:
        options["username"] = endpoint.username
    if endpoint.password.get_secret_value():
        options["password"] = endpoint.password.get_secret_value()
    if endpoint.ca_file is not None:
        url = url.replace("redis://", "rediss://", 1) if url.startswith("redis://") else url
        options["ssl_ca_certs"] = str(endpoint.ca_file)
    return Redis.from_pool(BlockingConnectionPool.from_url(url, **options))
