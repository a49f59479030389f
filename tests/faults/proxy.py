"""A TCP proxy that stands between a service and a store and makes the network between them bad.

Faults, one at a time or together, for connections that are open and those to come:

    latency      every piece is passed on so many seconds after it came
    reset        connections are cut with RST, and new ones as soon as they are made
    black hole   nothing is passed on and nobody is told: what was under way is lost, new connections are taken and
                 never answered
    half open    one direction is passed on, the other is not: a request arrives, its answer doesn't
    slow close   an end of one side reaches the other only after so many seconds

``heal`` ends all of them. What a black hole has swallowed stays lost: a connection that lost bytes is cut at the heal,
because a stream with a gap in it is something no network gives. Whoever has to act at a certain request sets ``tap``,
which is shown every piece before it is passed on.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self

_PIECE_BYTES = 64 * 1024
_CONNECT_SECONDS = 10.0
_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST (socket(7))."""


class Direction(StrEnum):
    """Of bytes."""

    UP = "up"
    """From who connected to the server behind the proxy."""
    DOWN = "down"


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    has_gap: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def reset(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                _abort(writer)
        own = asyncio.current_task()
        for task in self.tasks - ({own} if own else set()):
            # Not the task that calls: cancelled when it has nothing to wait for any more, it would end as a failure.
            task.cancel()

    def writers(self) -> list[asyncio.StreamWriter]:
        return [writer for writer in (self.client, self.server) if writer is not None]


Tap = Callable[[int, Direction, bytes], bytes]
"""Is shown a number of the connection and a piece, and returns what is passed on: all, a part or nothing of it. Called
in the proxy's loop."""


class FaultProxy:
    """Passes connections on to one server; an async context manager.

    Attributes:
        tap: Who is shown what goes through, None for nobody.
        port: Where it listens, on 127.0.0.1.
        injected: What happened, by fault: pieces delayed, connections reset, bytes swallowed, ends held back.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = 0
        self.tap: Tap | None = None
        self.injected: Counter[str] = Counter()
        self._latency_seconds = 0.0
        self._slow_close_seconds = 0.0
        self._refusing = False
        self._swallowing: frozenset[Direction] = frozenset()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for connection in self._connections for task in connection.tasks]
        for connection in list(self._connections):
            connection.reset()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def open_connections(self) -> int:
        """Connections that are being passed on."""
        return len(self._connections)

    # -- faults -------------------------------------------------------------------------------------------------------

    def delay(self, seconds: float) -> None:
        """Latency of each piece from now on, in both directions."""
        self._latency_seconds = seconds

    def reset(self, *, stay: bool = False) -> None:
        """Cuts every connection; with ``stay`` also those to come, until ``heal``."""
        self._refusing = self._refusing or stay
        for connection in list(self._connections):
            self.injected["reset"] += 1
            connection.reset()

    def black_hole(self) -> None:
        """Swallows both directions."""
        self._swallowing = frozenset(Direction)

    def half_open(self, lost: Direction = Direction.DOWN) -> None:
        """Swallows one direction."""
        self._swallowing = frozenset({lost})

    def slow_close(self, seconds: float) -> None:
        """Ends of streams reach the other side so much later."""
        self._slow_close_seconds = seconds

    def heal(self) -> None:
        """Ends every fault; connections that lost bytes are cut."""
        self._latency_seconds = self._slow_close_seconds = 0.0
        self._refusing, self._swallowing = False, frozenset()
        for connection in [each for each in self._connections if each.has_gap]:
            connection.reset()

    # -- passing on ---------------------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        if self._refusing:
            self.injected["reset"] += 1
            connection.reset()
            return
        self._connections.add(connection)
        own = asyncio.current_task()
        assert own is not None
        connection.tasks.add(own)
        try:
            await self._pass_on(connection, reader)
        except (OSError, TimeoutError):
            connection.reset()
        except asyncio.CancelledError:
            # Cut by the nemesis, or the proxy ends: nobody waits for this task, and asyncio would report it.
            connection.reset()
        finally:
            self._connections.discard(connection)

    async def _pass_on(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS):
            answers, connection.server = await asyncio.open_connection(*self._target)
        async with asyncio.TaskGroup() as both:
            for source, sink, direction in (
                (reader, connection.server, Direction.UP),
                (answers, connection.client, Direction.DOWN),
            ):
                connection.tasks.add(both.create_task(self._pump(connection, source, sink, direction)))
        for writer in connection.writers():
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _tapped(self, connection: _Connection, direction: Direction, piece: bytes) -> bytes:
        return piece if self.tap is None else self.tap(id(connection), direction, piece)

    async def _pump(
        self,
        connection: _Connection,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        direction: Direction,
    ) -> None:
        """One direction. Pieces that come while others are held back wait in the socket's buffer, as they would on a
        long line; so one connection's throughput falls with latency."""
        try:
            while piece := await source.read(_PIECE_BYTES):
                if self._latency_seconds:
                    self.injected["latency"] += 1
                    await asyncio.sleep(self._latency_seconds)
                passed = b"" if direction in self._swallowing else self._tapped(connection, direction, piece)
                if len(passed) < len(piece):
                    self.injected["swallowed bytes"] += len(piece) - len(passed)
                    connection.has_gap = True
                    if not passed:
                        continue
                sink.write(passed)
                await sink.drain()
            if self._slow_close_seconds:
                self.injected["slow close"] += 1
                await asyncio.sleep(self._slow_close_seconds)
            if direction in self._swallowing:
                connection.has_gap = True  # the end is lost as well
            elif sink.can_write_eof():
                sink.write_eof()
        except OSError:
            connection.reset()


def _abort(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()
