"""Circuit breaker: stops asking a dependency that keeps failing, and asks again after a while."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from chassis.clock import Clock, SystemClock
from chassis.errors import DeadlineExceeded, Defect, DependencyUnavailable, HeadwaterError, Overloaded


class BreakerState(StrEnum):
    """Where the breaker stands."""

    CLOSED = "closed"
    """Calls go through and their outcomes are counted."""
    OPEN = "open"
    """Calls are refused at once."""
    HALF_OPEN = "half_open"
    """A few probes go through; they decide."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and closes.

    Attributes:
        window_seconds: Only outcomes this recent count towards the ratio.
        failure_ratio: Opens when this share of the window's calls failed…
        minimum_calls: …and there were at least this many: two failures of three at night are no outage.
        consecutive_failures: Opens after this many in a row, whatever the ratio: a dead dependency is noticed at low
            traffic.
        open_seconds: How long it refuses before it probes.
        probes: Successes in a row that close it again, and the most that run at once while half open.
    """

    window_seconds: float = 10.0
    failure_ratio: float = 0.5
    minimum_calls: int = 20
    consecutive_failures: int = 5
    open_seconds: float = 2.0
    probes: int = 1


class CircuitBreaker:
    """Closed → open → half-open → closed or open (Nygard, "Release It!", 2007).

    Not thread-safe: one per dependency and event loop. Failures are what says something about the dependency:
    DependencyUnavailable, Overloaded, DeadlineExceeded, Defect and anything outside the error tree. A NotFound or an
    InvalidRequest is an answer, and a cancelled call says nothing.
    """

    def __init__(self, name: str, policy: BreakerPolicy | None = None, clock: Clock | None = None) -> None:
        self.name = name
        self._policy = policy or BreakerPolicy()
        self._clock = clock or SystemClock()
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._consecutive = 0
        self._opened_at: float | None = None
        self._probing = 0
        self._probe_successes = 0

    @property
    def state(self) -> BreakerState:
        """The state at this moment; an open breaker turns half-open by time alone."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        if self._clock.monotonic() - self._opened_at < self._policy.open_seconds:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Runs the enclosed call if the breaker lets it, and learns from its outcome.

        Raises:
            DependencyUnavailable: The breaker is open (reason ``CIRCUIT_OPEN``); the call was not made.
        """
        probe = self._enter()
        try:
            yield
        except BaseException as error:
            self._leave(probe, failed=_blames_dependency(error), counts=isinstance(error, Exception))
            raise
        self._leave(probe, failed=False, counts=True)

    def _enter(self) -> bool:
        state = self.state
        if state is BreakerState.CLOSED:
            return False
        if state is BreakerState.HALF_OPEN and self._probing < self._policy.probes:
            self._probing += 1
            return True
        raise DependencyUnavailable(
            "A dependency keeps failing and is left alone for a moment: retry later.",
            reason="CIRCUIT_OPEN",
            metadata={"dependency": self.name},
            retry_after_seconds=self._seconds_until_probe(),
        )

    def _leave(self, probe: bool, *, failed: bool, counts: bool) -> None:
        if probe:
            self._probing -= 1
            if counts:
                self._after_probe(failed)
        elif counts and self._opened_at is None:
            self._count(failed)

    def _after_probe(self, failed: bool) -> None:
        if failed:
            self._open()
            return
        self._probe_successes += 1
        if self._probe_successes >= self._policy.probes:
            self._opened_at = None
            self._outcomes.clear()
            self._failures = self._consecutive = 0

    def _count(self, failed: bool) -> None:
        now = self._clock.monotonic()
        self._outcomes.append((now, failed))
        self._failures += failed
        self._consecutive = self._consecutive + 1 if failed else 0
        while self._outcomes and self._outcomes[0][0] < now - self._policy.window_seconds:
            self._failures -= self._outcomes.popleft()[1]
        too_many = len(
            self._outcomes
        ) >= self._policy.minimum_calls and self._failures >= self._policy.failure_ratio * len(self._outcomes)
        if failed and (too_many or self._consecutive >= self._policy.consecutive_failures):
            self._open()

    def _open(self) -> None:
        self._opened_at = self._clock.monotonic()
        self._probe_successes = 0

    def _seconds_until_probe(self) -> float:
        opened_at = self._clock.monotonic() if self._opened_at is None else self._opened_at
        # Never zero: while a probe is out there is still no use in asking at once.
        return max(0.05, opened_at + self._policy.open_seconds - self._clock.monotonic())


def _blames_dependency(error: BaseException) -> bool:
    if isinstance(error, HeadwaterError):
        return isinstance(error, DependencyUnavailable | Overloaded | DeadlineExceeded | Defect)
    return isinstance(error, Exception)
