"""Work that grows with a request leaves the event loop once it is large enough to be felt there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LARGE = 64
"""Passages. At up to a tenth of a millisecond each, more would keep other searches waiting for longer than a thread
takes to start; a search for ten hits stays far below."""


async def run(work: Callable[[], T], passages: int) -> T:
    """What ``work`` returns, which touches so many passages and nothing that others touch."""
    if passages <= LARGE:
        return work()
    return await asyncio.to_thread(work)
