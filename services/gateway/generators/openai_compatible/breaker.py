"""A breaker around an endpoint: one that keeps failing is not waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chassis.clock import Clock
from chassis.errors import DependencyUnavailable
from chassis.resilience.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from chassis.telemetry.metrics import BREAKER_OPEN
from gateway.generators.openai_compatible.errors import EndpointError

_POLICY: Final = BreakerPolicy(window_seconds=60.0, consecutive_failures=3, minimum_calls=10, open_seconds=10.0)
"""A completion takes seconds, and so does one that fails: fewer of them say as much."""


class EndpointBreaker:
    """Of one endpoint; completions side by side share it.

    Args:
        name: Label of its metric.
    """

    def __init__(self, name: str, policy: BreakerPolicy = _POLICY, clock: Clock | None = None) -> None:
        self._name = name
        self._breaker = CircuitBreaker(name, policy, clock)
        self._was_open = False

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Lets the enclosed completion through and learns from its end. What is cancelled says nothing. Raises
        EndpointError, at once, while the endpoint is left alone."""
        try:
            async with self._breaker.guard():
                yield
        except DependencyUnavailable:
            raise EndpointError("circuit open") from None
        finally:
            is_open = self._breaker.state is BreakerState.OPEN
            if is_open is not self._was_open:
                self._was_open = is_open
                BREAKER_OPEN.set(float(is_open), dependency=self._name)
