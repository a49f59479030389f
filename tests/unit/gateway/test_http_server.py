"""The HTTP server on the service's loop: it serves, refuses, and finishes what is in flight."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.http.server import HttpServer


class SlowApp:
    """Answers once it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def test_a_request_in_flight_is_finished_while_new_connections_are_refused() -> None:
    app = SlowApp()
    server = HttpServer(app, "127.0.0.1:0", drain_seconds=5)
    url = f"http://{server.bind()}/"
    serving = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(timeout=10) as client, httpx.AsyncClient(timeout=1) as late:
        request = asyncio.create_task(client.get(url))
        await asyncio.wait_for(app.asked.wait(), 10)
        finishing = asyncio.create_task(server.finish())
        await _until_refused(late, url)
        app.may_answer.set()

        assert (await request).text == "ok"
        await asyncio.wait_for(finishing, 5)
    await asyncio.wait_for(serving, 5)


async def _until_refused(client: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await client.get(url)
            except httpx.ConnectError:
                return
            except httpx.HTTPError:
                await asyncio.sleep(0.02)


async def test_a_port_that_is_taken_is_an_error_at_the_start() -> None:
    first = HttpServer(SlowApp(), "127.0.0.1:0", drain_seconds=1)
    address = first.bind()
    with pytest.raises(OSError, match="in use"):
        HttpServer(SlowApp(), str(address), drain_seconds=1).bind()
    first.close()
