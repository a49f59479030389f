"""Time as a dependency: what a service asks instead of the system, so that tests can say what time it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from chassis.errors import InvalidRequest

MAX_TIMESTAMP: Final = 2**63 - 1
"""Versions are compared and stored as signed 64-bit integers by every engine."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds from the Unix epoch to an aware moment. Exact: ``timestamp()`` goes through a float, which has lost
    the microsecond by the year 2242."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Inverse of ``to_micros``, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


class Clock(Protocol):
    """Wall time for people and records, monotonic time for durations."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some point; never runs backwards, unrelated to ``now()``."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to, for simulations and tests."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward by ``seconds`` ≥ 0."""
        if seconds < 0:
            raise ValueError("Time does not run backwards; use step() to model a wall clock that is set back.")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Sets the wall clock forward or back, as NTP or an operator would; monotonic time does not notice."""
        self._now += timedelta(seconds=seconds)


class HybridLogicalClock:
    """Issues strictly increasing timestamps that stay close to wall time, even when the wall clock is set back.

    A hybrid logical clock (Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks", OPODIS 2014) folded
    into a single integer of microseconds: the logical part is what the value runs ahead of physical time, one
    microsecond per event. Values fit 63 bits until the year 294,246. Not thread-safe: one per event loop.

    Args:
        clock: Source of physical time.
        floor: The highest timestamp that may have been issued before, read from storage by the caller: nothing at or
            below it is issued again.
        max_drift_seconds: How far ahead of physical time ``observe`` lets a remote timestamp push this clock. One
            writer with a broken clock would otherwise drag every later version into the future.
    """

    def __init__(self, clock: Clock | None = None, *, floor: int = 0, max_drift_seconds: float = 60.0) -> None:
        source = clock or SystemClock()
        self._physical: Callable[[], int] = lambda: to_micros(source.now())
        self._last = floor
        self._max_drift = round(max_drift_seconds * 1_000_000)

    @property
    def last(self) -> int:
        """The highest timestamp issued or observed; what the caller persists as the next ``floor``."""
        return self._last

    def next(self) -> int:
        """A timestamp in µs, above every one issued or observed before."""
        self._last = max(self._last + 1, self._physical())
        if self._last > MAX_TIMESTAMP:
            raise OverflowError("The logical clock has left the 63-bit range.")
        return self._last

    def observe(self, timestamp: int) -> None:
        """Moves past a timestamp seen elsewhere, so that whatever is issued next is ordered after it.

        Raises:
            InvalidRequest: It lies further ahead of physical time than the permitted drift.
        """
        if timestamp > self._physical() + self._max_drift:
            raise InvalidRequest(
                "The timestamp lies too far in the future: correct the clock of the sender.", reason="CLOCK_DRIFT"
            )
        self._last = max(self._last, timestamp)
