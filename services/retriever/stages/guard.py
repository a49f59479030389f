"""Deadline and breaker around every call that leaves a search."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chassis.errors import DeadlineExceeded
from chassis.resilience.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from chassis.rpc.deadlines import HOP_MARGIN_SECONDS, remaining_seconds
from chassis.telemetry.metrics import BREAKER_OPEN

T = TypeVar("T")

OUT_OF_TIME_SECONDS: Final = 2 * HOP_MARGIN_SECONDS
"""Twice the margin: a hop gives up one margin before the deadline, and its answer takes a moment to arrive."""


class _CallerOutOfTimeError(BaseException):
    """The caller's time ran out inside a guarded call.

    Outside of Exception, as a cancellation is, because it says nothing about the dependency: otherwise callers with
    tiny deadlines could open the breaker for everybody.
    """

    def __init__(self, error: DeadlineExceeded) -> None:
        self.error = error


class Guard:
    """Runs calls to one dependency, each with a deadline, and leaves the dependency alone while it keeps failing."""

    def __init__(self, dependency: str, seconds: float, policy: BreakerPolicy | None = None) -> None:
        self._dependency = dependency
        self._seconds = seconds
        self._breaker = CircuitBreaker(dependency, policy)
        self._was_open = False

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` returns.

        Raises:
            DependencyUnavailable: Reason CIRCUIT_OPEN, at once, while the breaker is open.
            DeadlineExceeded: The dependency took longer than its deadline, or the caller's time is up
            (``caller_out_of_time`` tells).
        """
        try:
            async with self._breaker.guard():
                return await self._within_deadline(call)
        except _CallerOutOfTimeError as gone:
            raise gone.error from None
        finally:
            self._note_state()

    async def _within_deadline(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await call()
        except DeadlineExceeded as error:
            if caller_out_of_time():
                raise _CallerOutOfTimeError(error) from None
            raise
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(
                "A dependency did not answer in time: retry later.",
                reason="DEPENDENCY_TOO_SLOW",
                metadata={"dependency": self._dependency},
            ) from None

    def _note_state(self) -> None:
        is_open = self._breaker.state is BreakerState.OPEN
        if is_open is not self._was_open:
            self._was_open = is_open
            BREAKER_OPEN.set(float(is_open), dependency=self._dependency)


def caller_out_of_time() -> bool:
    """Whether the RPC being served has no time left for anything but its answer."""
    left = remaining_seconds()
    return left is not None and left <= OUT_OF_TIME_SECONDS
