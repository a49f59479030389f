"""A service starts only on servers that hold what it expects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from chassis.errors import DependencyUnavailable, FailedPrecondition, Overloaded
from chassis.telemetry import logger

_RETRY_SECONDS: Final = 1.0

_log = logger("expected")


async def wait_until_as_expected(differences: Callable[[], Awaitable[list[str]]]) -> None:
    """Waits until the servers answer, and refuses what is not as expected.

    Args:
        differences: What differs, one sentence each; raises DependencyUnavailable or Overloaded while it can't be seen.

    Raises:
        FailedPrecondition: ENGINES_MISMATCH, naming each difference.
    """
    while True:
        try:
            found = await differences()
        except (DependencyUnavailable, Overloaded) as error:
            _log.warning("waiting for a server", reason=error.reason)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            break
    if found:
        raise FailedPrecondition(
            f"The servers don't hold what is expected; run 'headwater admin init'. {'; '.join(found)}",
            reason="ENGINES_MISMATCH",
        )
