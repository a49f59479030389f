"""Rate limits per caller: so many requests in a moving window."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from chassis.errors import Overloaded
from chassis.identity import Caller
from chassis.telemetry import metrics


class Spending(StrEnum):
    """What is counted apart."""

    ASK = "ask"
    SEARCH = "search"
    WRITE = "write"
    READ = "read"


class RateLimits:
    """Counts in this process, per tenant and subject. Windows of a few seconds keep the counts small.

    Args:
        rates: Rate by spending, such as "200/10 seconds".
    """

    def __init__(self, rates: Mapping[Spending, str]) -> None:
        self._items: dict[Spending, RateLimitItem] = {spending: parse(rate) for spending, rate in rates.items()}
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, spending: Spending, caller: Caller, amount: int = 1) -> None:
        """Counts ``amount`` requests.

        Raises:
            Overloaded: RATE_LIMITED, with the delay until there is room again; nothing is counted then.
        """
        item = self._items[spending]
        if self._limiter.hit(item, spending.value, caller.tenant_id, caller.subject, cost=amount):
            return
        metrics.GATEWAY_RATE_LIMITED.add()
        window = self._limiter.get_window_stats(item, spending.value, caller.tenant_id, caller.subject)
        raise Overloaded(
            f"You have sent more than {item} of this kind: wait before the next one.",
            reason="RATE_LIMITED",
            metadata={"limit": str(item), "kind": spending.value},
            retry_after_seconds=max(0.05, window.reset_time - time.time()),
        )
