"""Stands between the gateway and a language model's server: adds wishes to requests, and spoils replies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse


@dataclass
class ModelProxy:
    """What it does to what passes.

    Attributes:
        target: Base URL of the server behind it.
        more: Fields added to each request.
        garbles_after: Events after which one comes that is cut in its middle.
        hangs_up_after: Events after which the connection is dropped.
        events: How many events it passed on in all.
    """

    target: str
    more: dict[str, Any] = field(default_factory=dict)
    garbles_after: int | None = None
    hangs_up_after: int | None = None
    events: int = 0
    base_url: str = ""


class _HangUpError(Exception):
    """Ends a reply without its end, so that the server drops the connection."""


def _app(proxy: ModelProxy, client: httpx.AsyncClient) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(request: Request) -> Response:
        body = {**await request.json(), **proxy.more}
        headers = {"authorization": request.headers.get("authorization", "")}
        url = f"{proxy.target}/chat/completions"
        upstream = await client.send(client.build_request("POST", url, json=body, headers=headers), stream=True)
        return StreamingResponse(_spoilt(proxy, upstream), upstream.status_code, media_type="text/event-stream")

    return app


async def _spoilt(proxy: ModelProxy, upstream: httpx.Response) -> AsyncIterator[str]:
    try:
        number = 0
        async for line in upstream.aiter_lines():
            if line.startswith("data: {"):
                if number == proxy.hangs_up_after:
                    raise _HangUpError
                if number == proxy.garbles_after:
                    line = line[: len(line) // 2]
                number += 1
                proxy.events += 1
            yield f"{line}\n"
    finally:
        await upstream.aclose()


@asynccontextmanager
async def model_proxy(proxy: ModelProxy) -> AsyncIterator[ModelProxy]:
    """Serves ``proxy`` on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with httpx.AsyncClient(timeout=120) as client:
        config = uvicorn.Config(_app(proxy, client), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        proxy.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        try:
            yield proxy
        finally:
            server.should_exit = True
            await serving
            listener.close()
