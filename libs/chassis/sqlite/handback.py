"""Handing results of database threads back to the tasks that wait for them.

As ``asyncio.wrap_future`` does, but without a lock and a condition per call, and with one wake-up of the event loop for
many results: a document costs some twenty statements, so this is paid often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reply:
    """What one caller gets. The database thread fills in ``result`` or ``error``, then calls ``deliver``."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    @classmethod
    def to_this_task(cls) -> Self:
        """For the running task, which awaits ``future``."""
        loop = asyncio.get_running_loop()
        return cls(loop, loop.create_future())


def deliver(replies: Sequence[Reply]) -> None:
    """Wakes the callers, from any thread. Those that were cancelled, or whose event loop is gone, are left out."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Reply]] = {}
    for reply in replies:
        by_loop.setdefault(reply.loop, []).append(reply)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, group)
        except RuntimeError:
            _log.debug("callers left before they were answered")


def _settle(replies: Sequence[Reply]) -> None:
    for reply in replies:
        if reply.future.done():
            continue
        if reply.error is not None:
            reply.future.set_exception(reply.error)
        else:
            reply.future.set_result(reply.result)
