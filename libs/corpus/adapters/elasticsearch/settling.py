"""Compare-and-set, until it succeeds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chassis.errors import DependencyUnavailable

T = TypeVar("T")

_ATTEMPTS: Final = 50
"""Of one compare-and-set. Each time somebody else's succeeded: many only where many write to one document at once."""
_PAUSE_SECONDS: Final = 0.02
"""Longest pause between two of them."""


async def until_settled(attempt: Callable[[], Awaitable[T | None]]) -> T:
    """Repeats a compare-and-set until it gives a result. Raises DependencyUnavailable CHANGE_CONTENDED."""
    for _ in range(_ATTEMPTS):
        result = await attempt()
        if result is not None:
            return result
        # By chance, so that those who collided do not collide again.
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311
    raise DependencyUnavailable(
        "Too many changes of one document are recorded at once: retry later.",
        reason="CHANGE_CONTENDED",
        retry_after_seconds=1.0,
    )
