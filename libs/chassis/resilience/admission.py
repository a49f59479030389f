"""Admission control: a fixed number of permits, and a fast refusal instead of a queue that grows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chassis.errors import Overloaded

_SMOOTHING: Final = 0.1
"""Weight of the newest service time in the average behind the retry hint."""
_RETRY_SECONDS: Final = (0.05, 5.0)
"""Bounds of the hint: below, a retry finds the same queue; above, callers give up."""


class AdmissionController:
    """Permits for work under way at once. What finds none waits in a short bounded queue, or is refused at once.

    grpc.aio's own ``maximum_concurrent_rpcs`` admits far more than its limit, so this is checked first in every RPC.
    Not thread-safe: one per event loop.

    Args:
        max_in_flight: Permits.
        max_waiting: Longest queue for a permit; 0 refuses at once.
        max_wait_seconds: Longest wait in that queue.
    """

    def __init__(self, max_in_flight: int, *, max_waiting: int = 0, max_wait_seconds: float = 0.0) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        self.max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._service_seconds = 0.0

    @property
    def in_flight(self) -> int:
        """Permits in use."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._waiters)

    @property
    def is_full(self) -> bool:
        """Whether ``acquire`` would refuse now."""
        return self._in_flight >= self.max_in_flight and len(self._waiters) >= self._max_waiting

    async def acquire(self) -> float:
        """Takes a permit and returns the seconds waited for it. Pair it with ``release``.

        Raises:
            Overloaded: There is neither a permit nor room to wait for one, with a retry hint.
        """
        if self._in_flight < self.max_in_flight and not self._waiters:
            self._in_flight += 1
            return 0.0
        if len(self._waiters) >= self._max_waiting:
            raise self.overloaded()
        return await self._wait()

    def release(self, service_seconds: float | None = None) -> None:
        """Gives the permit back, to the one who waits longest. ``service_seconds`` feeds the retry hint."""
        if service_seconds is not None:
            self._service_seconds += _SMOOTHING * (service_seconds - self._service_seconds)
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                # The permit passes over without being free in between, or a newcomer would overtake the queue.
                waiter.set_result(None)
                return
        self._in_flight -= 1

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[float]:
        """Holds a permit for the enclosed work; yields the seconds waited. Raises Overloaded as ``acquire`` does."""
        waited = await self.acquire()
        started = time.monotonic()
        try:
            yield waited
        finally:
            self.release(time.monotonic() - started)

    async def _wait(self) -> float:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await waiter
        except BaseException as error:
            granted = waiter.done() and not waiter.cancelled()
            if granted:
                self.release()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise self.overloaded() from None
            raise
        return time.monotonic() - started

    def overloaded(self) -> Overloaded:
        """The refusal, with the time a permit is likely to take."""
        shortest, longest = _RETRY_SECONDS
        hint = min(longest, max(shortest, self._service_seconds))
        return Overloaded("The service is at capacity: retry after the given delay.", retry_after_seconds=hint)
