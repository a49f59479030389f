"""The token ledger of one process."""

from __future__ import annotations

from collections import Counter
from datetime import date


class MemoryTokenLedger:
    """Counts that end with the process. Not thread-safe: one event loop uses it."""

    def __init__(self) -> None:
        self._tokens: Counter[tuple[date, str]] = Counter()

    async def take(self, tenant_id: str, day: date, tokens: int, limit: int) -> bool:
        """Counts what fits; see the port."""
        if self._tokens[day, tenant_id] + tokens > limit:
            return False
        self._tokens[day, tenant_id] += tokens
        return True

    async def correct(self, tenant_id: str, day: date, change: int) -> None:
        """Adds what was used besides, or takes back what was not; see the port."""
        self._tokens[day, tenant_id] = max(0, self._tokens[day, tenant_id] + change)

    async def used(self, tenant_id: str, day: date) -> int:
        """The day's sum; see the port."""
        return self._tokens[day, tenant_id]

    async def forget_before(self, day: date) -> int:
        """Removes earlier days; see the port."""
        old = [key for key in self._tokens if key[0] < day]
        for key in old:
            del self._tokens[key]
        return len(old)
