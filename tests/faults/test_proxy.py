"""The proxy itself: each fault looks to both ends like the network's, and ends when it is healed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.faults.proxy import Direction, FaultProxy

SILENCE_SECONDS = 0.3
"""So long nothing comes where nothing should: short, because it is waited for in full."""


@dataclass
class Echo:
    """A server that answers every line with itself, and remembers lines and ends."""

    lines: list[bytes] = field(default_factory=list)
    ends: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.lines.append(line)
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass  # cut: an end like another
        finally:
            self.ends += 1
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    served = Echo()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", echo.port) as made:
        yield made


@dataclass
class Talk:
    """A connection through the proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, line: bytes) -> bytes:
        self.writer.write(line)
        await self.writer.drain()
        async with asyncio.timeout(10):
            return await self.reader.readline()

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False

    async def is_cut(self) -> bool:
        try:
            async with asyncio.timeout(10):
                return await self.reader.read() == b""
        except ConnectionResetError:
            return True


@asynccontextmanager
async def talk(proxy: FaultProxy) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_without_a_fault_it_is_not_there(proxy: FaultProxy, echo: Echo) -> None:
    async with talk(proxy) as one, talk(proxy) as other:
        assert await one.say(b"a\n") == b"a\n"
        assert await other.say(b"b\n") == b"b\n"
        assert proxy.open_connections == 2
        one.writer.write_eof()
        async with asyncio.timeout(10):
            assert await one.reader.read() == b""
    await until(lambda: proxy.open_connections == 0 and echo.ends == 2)
    assert not proxy.injected


async def test_a_large_answer_arrives_whole(proxy: FaultProxy) -> None:
    async with talk(proxy) as one:
        one.writer.write(b"".join(b"%07d\n" % number for number in range(100_000)))
        one.writer.write_eof()
        async with asyncio.timeout(30):
            assert await one.reader.read() == b"".join(b"%07d\n" % number for number in range(100_000))


async def test_latency_holds_back_what_is_said_and_what_is_answered(proxy: FaultProxy) -> None:
    async with talk(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        proxy.delay(0.15)
        began = asyncio.get_running_loop().time()
        assert await one.say(b"b\n") == b"b\n"
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert proxy.injected["latency"] == 2


async def test_a_reset_cuts_what_is_open_and_lets_new_connections_in(proxy: FaultProxy, echo: Echo) -> None:
    async with talk(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await one.reader.readexactly(1)
        await until(lambda: echo.ends == 1)
    async with talk(proxy) as other:
        assert await other.say(b"b\n") == b"b\n"
    assert proxy.injected["reset"] == 1


async def test_a_reset_that_stays_refuses_until_it_is_healed(proxy: FaultProxy) -> None:
    proxy.reset(stay=True)
    async with talk(proxy) as one:
        assert await one.is_cut()
    proxy.heal()
    async with talk(proxy) as other:
        assert await other.say(b"b\n") == b"b\n"


async def test_a_black_hole_answers_nobody_and_tells_nobody(proxy: FaultProxy, echo: Echo) -> None:
    async with talk(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        proxy.black_hole()
        one.writer.write(b"lost\n")
        async with talk(proxy) as late:
            late.writer.write(b"lost too\n")
            assert await one.hears_nothing()
            assert await late.hears_nothing()
            assert echo.lines == [b"a\n"]
            proxy.heal()
            # A stream with a gap is something no network gives.
            assert await one.is_cut()
            assert await late.is_cut()
    async with talk(proxy) as other:
        assert await other.say(b"b\n") == b"b\n"
    assert proxy.injected["swallowed bytes"] == len(b"lost\n" + b"lost too\n")


async def test_a_connection_that_was_silent_in_a_black_hole_goes_on_after_it(proxy: FaultProxy) -> None:
    async with talk(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        proxy.black_hole()
        assert await one.hears_nothing()
        proxy.heal()
        assert await one.say(b"b\n") == b"b\n"


async def test_half_open_means_done_and_never_answered(proxy: FaultProxy, echo: Echo) -> None:
    async with talk(proxy) as one:
        proxy.half_open()
        one.writer.write(b"done\n")
        assert await one.hears_nothing()
        assert echo.lines == [b"done\n"]
        proxy.heal()
        assert await one.is_cut()


async def test_half_open_the_other_way_means_that_nothing_arrives(proxy: FaultProxy, echo: Echo) -> None:
    async with talk(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        proxy.half_open(Direction.UP)
        one.writer.write(b"lost\n")
        assert await one.hears_nothing()
        assert echo.lines == [b"a\n"]


async def test_a_slow_close_keeps_the_other_end_waiting(proxy: FaultProxy, echo: Echo) -> None:
    async with talk(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        proxy.slow_close(0.3)
        began = asyncio.get_running_loop().time()
        one.writer.write_eof()
        await until(lambda: echo.ends == 1)
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert proxy.injected["slow close"] >= 1


async def test_a_server_that_is_not_there_is_a_cut_connection(unused_tcp_port: int) -> None:
    async with FaultProxy("127.0.0.1", unused_tcp_port) as proxy, talk(proxy) as one:
        assert await one.is_cut()


async def test_its_end_cuts_what_is_open(echo: Echo) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await Talk(reader, writer).say(b"a\n")
    assert await Talk(reader, writer).is_cut()
    writer.transport.abort()
    await until(lambda: echo.ends == 1)
