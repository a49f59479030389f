"""Retry budget: retries may add a share to the load, never multiply it."""

from __future__ import annotations


class RetryBudget:
    """Token bucket that is filled by calls and emptied by retries.

    The scheme of gRPC's retry throttling (proposal A6, "Client Retries") and of Finagle's RetryBudget: every first
    attempt adds ``ratio`` tokens up to ``capacity``, a retry takes a whole one. While a dependency is well, single
    failures are retried; when it is down the bucket runs dry and retries stop, so they add at most ``ratio`` to the
    load in the long run. Not thread-safe.

    Args:
        ratio: Retries permitted per call in the long run.
        capacity: Tokens kept for a burst; the bucket starts full.
    """

    def __init__(self, ratio: float = 0.1, capacity: float = 10.0) -> None:
        if not 0 <= ratio <= 1 or capacity < 1:
            raise ValueError("ratio must lie in 0…1 and capacity must be at least 1")
        self._ratio = ratio
        self._capacity = capacity
        self._tokens = capacity

    @property
    def tokens(self) -> float:
        """Retries that could be made now, as a fraction."""
        return self._tokens

    def record_call(self) -> None:
        """Notes a first attempt."""
        self._tokens = min(self._capacity, self._tokens + self._ratio)

    def try_spend(self) -> bool:
        """Takes a token for one retry; False when the budget is used up and the failure should be passed on."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
