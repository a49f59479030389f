"""A cache in this process's memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cachetools import TLRUCache

_ENTRY_OVERHEAD_BYTES = 200
"""Roughly what Python needs per entry besides key and value, so that many tiny values can't outgrow the bound."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: bytes
    ttl_seconds: float
    size_bytes: int


class MemoryCache:
    """Least recently used values go first once ``max_bytes`` are reached; expired ones go at the latest when they are
    asked for.

    ``clock`` gives monotonic seconds. Not thread-safe: one event loop uses it.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: TLRUCache[str, _Entry] = TLRUCache(
            max_bytes,
            ttu=lambda _key, entry, now: now + entry.ttl_seconds,
            timer=clock,
            getsizeof=lambda entry: entry.size_bytes,
        )

    async def get(self, key: str) -> bytes | None:
        """The value or None; see the port."""
        entry = self._entries.get(key)
        return entry.value if entry is not None else None

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Known values by key; see the port."""
        found = {key: self._entries.get(key) for key in keys}
        return {key: entry.value for key, entry in found.items() if entry is not None}

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keeps the value for a while; one that is larger than the whole cache is not kept, and not the former value
        either."""
        entry = _Entry(value, ttl_seconds, len(value) + len(key) + _ENTRY_OVERHEAD_BYTES)
        self._entries.pop(key, None)
        if entry.size_bytes <= self._entries.maxsize and ttl_seconds > 0:
            self._entries[key] = entry

    async def put_many(self, values: Mapping[str, bytes], ttl_seconds: float) -> None:
        """Keeps the values for a while; see ``put``."""
        for key, value in values.items():
            await self.put(key, value, ttl_seconds)

    async def delete(self, key: str) -> None:
        """Forgets the key."""
        self._entries.pop(key, None)
