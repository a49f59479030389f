"""Port of the key-value cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Cache(Protocol):
    """Bytes under keys, for a while. A cache may forget anything at any time and nothing may depend on it: its failures
    are counted in a metric and read as misses, they never raise."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it is unknown, forgotten or expired, or the cache can't be reached."""
        ...

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The values that ``get`` would give, by key; the others are left out. Where values are far away, this is one
        round trip."""
        ...

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps ``value`` for at most ``ttl_seconds``; the newest value wins. With ``ttl_seconds`` ≤ 0 it is not kept,
        and the former value is forgotten."""
        ...

    async def put_many(self, values: Mapping[str, bytes], ttl_seconds: float) -> None:
        """As ``put`` for each; some may be kept and others not."""
        ...

    async def delete(self, key: str) -> None:
        """Forgets the key. Idempotent."""
        ...
