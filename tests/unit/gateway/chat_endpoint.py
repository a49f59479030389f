"""A small chat endpoint on a real port, which can be slow, fail, or hang up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse


@dataclass
class ChatScript:
    """What the endpoint does. ``failures`` are statuses answered before it works; ``garbled`` what comes in place of an
    event after that many; ``requests`` what it was sent."""

    pieces: Sequence[str] = ()
    failures: list[int] = field(default_factory=list)
    stall_before: int | None = None
    cut_after: int | None = None
    error_after: int | None = None
    garbled: tuple[int, str] | None = None
    finish_reason: str = "stop"
    usage: dict[str, int] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    base_url: str = ""
    left: asyncio.Event = field(default_factory=asyncio.Event)


def _app(script: ChatScript) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(request: Request) -> Response:
        script.requests.append(await request.json())
        script.keys.append(request.headers.get("authorization"))
        if script.failures:
            return JSONResponse({"error": {"message": "busy"}}, script.failures.pop(0))
        return StreamingResponse(_events(script), media_type="text/event-stream")

    return app


async def _events(script: ChatScript) -> AsyncIterator[str]:
    try:
        for number, piece in enumerate(script.pieces):
            if number == script.stall_before:
                await asyncio.Event().wait()
            if number == script.error_after:
                yield 'data: {"error": {"message": "the prompt was: secret"}}\n\n'
                return
            if script.garbled is not None and number == script.garbled[0]:
                yield f"data: {script.garbled[1]}\n\n"
            if number == script.cut_after:
                return
            yield _event({"delta": {"content": piece}, "finish_reason": None})
        yield _event({"delta": {}, "finish_reason": script.finish_reason})
        if script.usage:
            yield f"data: {json.dumps({'choices': [], 'usage': script.usage})}\n\n"
        yield "data: [DONE]\n\n"
    finally:
        script.left.set()


def _event(choice: dict[str, Any]) -> str:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [{'index': 0, **choice}]})}\n\n"


@asynccontextmanager
async def chat_endpoint(script: ChatScript) -> AsyncIterator[ChatScript]:
    """Serves ``script`` on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(_app(script), log_config=None, lifespan="off", timeout_graceful_shutdown=1, ws="none")
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    script.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.005)
    try:
        yield script
    finally:
        server.should_exit = True
        await serving
        listener.close()
