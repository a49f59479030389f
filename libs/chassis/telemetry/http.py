"""The small HTTP listener for machines: ``/metrics``, ``/healthz``, ``/readyz``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import prometheus_client
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from chassis.addresses import Address

_REQUEST_SECONDS: Final = 5.0
_MAX_REQUEST_LINE: Final = 2048


class MetricsServer:
    """Answers GET on three paths, one request per connection. No framework: it must answer while a service is busy or
    stopping.

    Args:
        listen: ``host:port``.
        registry: What ``/metrics`` shows, in Prometheus' text format.
        unready_because: Why ``/readyz`` answers 503; empty for 200. ``/healthz`` answers 200 as long as the event loop
            runs.
    """

    def __init__(
        self, listen: str, registry: prometheus_client.CollectorRegistry, unready_because: Callable[[], str]
    ) -> None:
        self._address = Address.parse(listen)
        self._registry = registry
        self._unready_because = unready_because
        self._server: asyncio.Server | None = None

    async def start(self) -> Address:
        """Binds, and returns the address with the port that was taken. Raises OSError."""
        self._server = await asyncio.start_server(
            self._serve, self._address.host, self._address.port, limit=_MAX_REQUEST_LINE
        )
        return Address(self._address.host, self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stops listening. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                status, content_type, body = await self._answer(await _request_line(reader))
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            # A prober that left or talks nonsense: there is nobody to answer.
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, request_line: str) -> tuple[HTTPStatus, str, bytes]:
        method, _, rest = request_line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET\n"
        if path == "/metrics":
            body = await asyncio.to_thread(prometheus_client.generate_latest, self._registry)
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, body
        if path == "/healthz":
            return HTTPStatus.OK, "text/plain", b"ok\n"
        if path == "/readyz":
            why = self._unready_because()
            return (
                (HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{why}\n".encode())
                if why
                else (HTTPStatus.OK, "text/plain", b"ready\n")
            )
        return HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"


async def _request_line(reader: asyncio.StreamReader) -> str:
    line = await reader.readuntil(b"\r\n")
    # The headers are read to their end, or closing would reset the connection before the answer arrives.
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return line.decode("latin-1")
