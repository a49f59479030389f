"""uvicorn on the service's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from chassis.addresses import Address

_MAX_HEADER_BYTES = 512 * 1024
"""As gRPC's metadata limit: a caller in thousands of groups has a large token."""
_KEEP_ALIVE_SECONDS = 30


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the lifecycle's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an ASGI application until it is told to finish.

    Args:
        app: The application.
        listen: ``host:port``; port 0 takes a free one.
        drain_seconds: How long requests in flight may take once it finishes.
    """

    def __init__(self, app: ASGIApp, listen: str, *, drain_seconds: float) -> None:
        self._listen = Address.parse(listen)
        self._socket: socket.socket | None = None
        self._ended = asyncio.Event()
        self._server = _Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, int(drain_seconds)),
                h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
            )
        )

    def bind(self) -> Address:
        """Takes the port. Raises OSError."""
        family = socket.AF_INET6 if ":" in self._listen.host else socket.AF_INET
        self._socket = socket.create_server((self._listen.host, self._listen.port), family=family, backlog=1024)
        self._socket.setblocking(False)
        return Address(self._listen.host, self._socket.getsockname()[1])

    async def serve(self) -> None:
        """Serves until ``finish``."""
        if self._socket is None:
            raise RuntimeError("bind() comes first.")
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._ended.set()

    def close(self) -> None:
        """Gives the port back if it was never served. Idempotent."""
        if self._socket is not None:
            self._socket.close()

    def refuse(self) -> None:
        """Takes no more connections; requests in flight go on."""
        self._server.should_exit = True

    async def finish(self) -> None:
        """Refuses, and waits until requests in flight are done or out of time. Idempotent."""
        self.refuse()
        await self._ended.wait()
