"""Callers and the replicas of a service whose name leads elsewhere with time, as in a cluster."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from tests.unit.chassis.name_server import NameServer, name_server

from chassis.rpc.client import open_channel
from chassis.rpc.options import SERVER_OPTIONS
from chassis.settings import ServiceSettings

pytestmark = pytest.mark.xdist_group("replicas")


class CallerSettings(ServiceSettings):
    service_name: ClassVar[str] = "caller"


class Replica(grpc.GenericRpcHandler):
    """Answers with its address; a stream of it goes on until ``finish`` is set."""

    def __init__(self, address: str) -> None:
        self._address = address.encode()
        self.finish = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        async def who(request: bytes, context: Any) -> bytes:
            return self._address

        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            yield self._address
            await self.finish.wait()
            yield self._address

        if handler_call_details.method.endswith("Stream"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(who)


@asynccontextmanager
async def replica(address: str, port: int) -> AsyncIterator[tuple[int, Replica]]:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    handler = Replica(address)
    server.add_generic_rpc_handlers((handler,))
    bound = server.add_insecure_port(f"{address}:{port}")
    await server.start()
    try:
        yield bound, handler
    finally:
        handler.finish.set()
        await server.stop(2)


def target(names: NameServer, port: int) -> str:
    return f"dns://127.0.0.1:{names.port}/replicas.test:{port}"


async def answers_from(who: Any, wanted: set[str], seconds: float = 20.0) -> Counter[str]:
    """Calls until the last twenty answers came from ``wanted``, and only from there."""
    deadline = time.monotonic() + seconds
    while True:
        seen = Counter([(await who(b"", timeout=5)).decode() for _ in range(20)])
        if set(seen) == wanted or time.monotonic() > deadline:
            return seen


async def test_a_replica_that_is_added_is_called_and_streams_in_flight_go_on(tmp_path: Path) -> None:
    settings = CallerSettings(data_dir=tmp_path)
    async with AsyncExitStack() as stack:
        port, first = await stack.enter_async_context(replica("127.0.0.1", 0))
        names = await stack.enter_async_context(name_server("127.0.0.1"))
        channel = await stack.enter_async_context(
            open_channel(target(names, port), settings=settings, renew_seconds=0.2)
        )
        who = channel.unary_unary("/test/Who")
        assert set(await answers_from(who, {"127.0.0.1"})) == {"127.0.0.1"}
        stream = channel.unary_stream("/test/Stream")(b"", timeout=60)
        assert await stream.read() == b"127.0.0.1"

        await stack.enter_async_context(replica("127.0.0.2", port))
        names.addresses.append("127.0.0.2")
        await answers_from(who, {"127.0.0.1", "127.0.0.2"})
        seen = Counter([(await who(b"", timeout=5)).decode() for _ in range(100)])
        assert min(seen["127.0.0.1"], seen["127.0.0.2"]) >= 25, "both take their share"

        first.finish.set()
        assert await stream.read() == b"127.0.0.1"
        assert await stream.read() is grpc.aio.EOF


async def test_replicas_restarted_one_after_another_fail_no_call(tmp_path: Path) -> None:
    settings = CallerSettings(data_dir=tmp_path)
    async with AsyncExitStack() as stack:
        old = AsyncExitStack()
        port, _ = await old.enter_async_context(replica("127.0.0.1", 0))
        other = AsyncExitStack()
        await other.enter_async_context(replica("127.0.0.2", port))
        names = await stack.enter_async_context(name_server("127.0.0.1", "127.0.0.2"))
        channel = await stack.enter_async_context(open_channel(target(names, port), settings=settings))
        who = channel.unary_unary("/test/Who")
        await answers_from(who, {"127.0.0.1", "127.0.0.2"})

        for leaving, gone, come in ((old, "127.0.0.1", "127.0.0.3"), (other, "127.0.0.2", "127.0.0.4")):
            await stack.enter_async_context(replica(come, port))
            names.addresses.append(come)
            names.addresses.remove(gone)
            stopping = asyncio.create_task(leaving.aclose())
            while not stopping.done():
                await asyncio.gather(*(who(b"", timeout=5) for _ in range(8)))
            await stopping
            assert come in await answers_from(who, {come, "127.0.0.2" if come == "127.0.0.3" else "127.0.0.3"})
        assert set(await answers_from(who, {"127.0.0.3", "127.0.0.4"})) == {"127.0.0.3", "127.0.0.4"}


async def test_a_name_server_that_fails_takes_nothing_from_those_who_are_connected(tmp_path: Path) -> None:
    settings = CallerSettings(data_dir=tmp_path)
    async with AsyncExitStack() as stack:
        port, _ = await stack.enter_async_context(replica("127.0.0.1", 0))
        names = await stack.enter_async_context(name_server("127.0.0.1"))
        channel = await stack.enter_async_context(
            open_channel(target(names, port), settings=settings, renew_seconds=0.05)
        )
        who = channel.unary_unary("/test/Who")
        await who(b"", timeout=10)
        names.addresses.clear()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert await who(b"", timeout=5) == b"127.0.0.1"
