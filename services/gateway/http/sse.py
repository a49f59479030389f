"""Server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final, TypeVar

from fastapi.responses import StreamingResponse

T = TypeVar("T")

MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {"x-accel-buffering": "no"}
"""Asks proxies in front not to collect events."""


def wants_events(accept: str | None) -> bool:
    """Whether an Accept header asks for events."""
    return accept is not None and MEDIA_TYPE in accept.lower()


def event(name: str, data: Any) -> str:
    """One named event with JSON data."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def data(value: Any) -> str:
    """One unnamed event with JSON data."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def stream(events: AsyncGenerator[str, None]) -> StreamingResponse:
    """The response that sends ``events``."""
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers=_HEADERS)


async def begun(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same items once the first one is there, so that what is wrong with a request still becomes its status
    code."""
    try:
        first = await anext(items)
    except (Exception, asyncio.CancelledError):
        await items.aclose()
        raise

    async def all_items() -> AsyncGenerator[T, None]:
        async with aclosing(items):
            yield first
            rest: AsyncIterator[T] = items
            async for item in rest:
                yield item

    return all_items()
