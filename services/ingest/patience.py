"""Repeating a step of a long operation while a store is away: an operator's rebuild of hours must not end because of
one call that came at a bad moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from chassis.errors import Disposition, HeadwaterError, disposition_of

T = TypeVar("T")

_log = structlog.get_logger()

PATIENCE_SECONDS: Final = 60.0
"""From a step's first failure. An outage that is longer is for the operator to know of."""
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 10.0


async def patiently(step: Callable[[], Awaitable[T]], seconds: float = PATIENCE_SECONDS) -> T:
    """Runs an idempotent step again while it raises what is to be backed off from; raises that when ``seconds`` have
    passed since its first failure, and everything else at once."""
    loop = asyncio.get_running_loop()
    gives_up_at: float | None = None
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            return await step()
        except HeadwaterError as error:
            now = loop.time()
            gives_up_at = gives_up_at if gives_up_at is not None else now + seconds
            if disposition_of(error) is not Disposition.BACK_OFF or now >= gives_up_at:
                raise
            _log.warning("step_repeated", reason=error.reason)
            asked = min(error.retry_after_seconds or 0.0, LONGEST_WAIT_SECONDS)
            await asyncio.sleep(min(max(wait, asked), max(gives_up_at - now, 0.0)))
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
