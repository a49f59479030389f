"""The time that is left: one absolute deadline per task tree, which shrinks on its way down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

from chassis.errors import DeadlineExceeded

HOP_MARGIN_SECONDS: Final = 0.005
"""Kept back from what is passed on, so that a service still has time to answer its own caller when the next one runs
out."""

_deadline: ContextVar[float | None] = ContextVar("headwater_deadline", default=None)


def remaining_seconds() -> float | None:
    """Seconds until the deadline of the work being done, at least 0; None when there is none."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def timeout_for_hop(timeout_seconds: float) -> float:
    """What a call to another process may take: its own limit, or less when the work's deadline is nearer.

    Raises:
        DeadlineExceeded: There is no time left for the call.
    """
    deadline = _deadline.get()
    if deadline is None:
        return timeout_seconds
    left = deadline - time.monotonic() - HOP_MARGIN_SECONDS
    if left <= 0:
        raise out_of_time()
    return min(timeout_seconds, left)


@contextmanager
def deadline_in(seconds: float | None) -> Iterator[None]:
    """Sets the deadline for the enclosed work without enforcing it here: for edges whose transport cancels at the
    deadline."""
    outer = _deadline.get()
    inner = outer if seconds is None else time.monotonic() + seconds
    if inner is not None and outer is not None:
        inner = min(inner, outer)
    token = _deadline.set(inner)
    try:
        yield
    finally:
        _deadline.reset(token)


@asynccontextmanager
async def budget(seconds: float) -> AsyncIterator[None]:
    """Gives the enclosed work ``seconds``, or what is left of the outer deadline if that is less, and cancels it then.

    Raises:
        DeadlineExceeded: The time is up.
    """
    with deadline_in(seconds):
        try:
            async with asyncio.timeout(remaining_seconds()) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise out_of_time() from None


def out_of_time() -> DeadlineExceeded:
    """The error for work whose time is up."""
    return DeadlineExceeded("The time given for this request is up: retry with a longer deadline.")
