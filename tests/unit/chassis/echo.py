"""A tiny service over raw bytes, its two stubs, and what starts it: real sockets, no generated code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from chassis.identity import current_caller
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import open_channel
from chassis.rpc.deadlines import remaining_seconds
from chassis.rpc.server import GrpcServer
from chassis.settings import ServiceSettings
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file, service_caller

SERVICE = "test.Echo"
CALLER = service_caller("frontend", "acme")


class EchoSettings(ServiceSettings):
    service_name: ClassVar[str] = "echo"


class FrontendSettings(ServiceSettings):
    service_name: ClassVar[str] = "frontend"


Behaviour = Callable[[bytes], Awaitable[bytes]]


async def same(request: bytes) -> bytes:
    return request


@dataclass
class Echo:
    """What the service does, and what it saw."""

    behaviour: Behaviour = same
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    remaining: float | None = None
    tenant: str = ""

    async def say(self, request: bytes, context: Any) -> bytes:
        self.started.set()
        self.remaining = remaining_seconds()
        self.tenant = current_caller().tenant_id
        try:
            return await self.behaviour(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.started.set()
        try:
            for number in range(int(request)):
                yield str(number).encode()
                await self.behaviour(request)
        finally:
            self.cancelled.set()

    async def gather(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([await self.behaviour(part) async for part in requests])

    async def read(self, request: StringValue, context: Any) -> bytes:
        return request.value.encode()

    async def read_all(self, requests: AsyncIterator[StringValue], context: Any) -> bytes:
        return "".join([part.value async for part in requests]).encode()

    def add_to(self, server: grpc.aio.Server) -> None:
        handlers: dict[str, Any] = {
            "Say": grpc.unary_unary_rpc_method_handler(self.say),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Gather": grpc.stream_unary_rpc_method_handler(self.gather),
            "Read": grpc.unary_unary_rpc_method_handler(self.read, StringValue.FromString),
            "ReadAll": grpc.stream_unary_rpc_method_handler(self.read_all, StringValue.FromString),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class EchoStub:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.Say: Any = channel.unary_unary(f"/{SERVICE}/Say")
        self.Count: Any = channel.unary_stream(f"/{SERVICE}/Count")
        self.Gather: Any = channel.stream_unary(f"/{SERVICE}/Gather")
        self.Read: Any = channel.unary_unary(f"/{SERVICE}/Read")
        self.ReadAll: Any = channel.stream_unary(f"/{SERVICE}/ReadAll")


@dataclass
class Running:
    echo: Echo
    stub: EchoStub
    channel: grpc.aio.Channel
    server: GrpcServer
    lifecycle: Lifecycle

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"


@asynccontextmanager
async def running_echo(data_dir: Path, echo: Echo | None = None, **settings: Any) -> AsyncIterator[Running]:
    """The service on a free port and a channel to it from a service called "frontend"."""
    create_keys(data_dir / "keys", ["frontend", "echo", "stranger"])
    echo = echo or Echo()
    server_settings = EchoSettings(data_dir=data_dir, **settings)
    lifecycle = Lifecycle(server_settings)
    async with lifecycle.stack as stack:
        verifier = InternalTokenVerifier(jwks_file(server_settings.keys_dir), {"frontend", "echo"})
        server = await stack.enter_async_context(GrpcServer(server_settings, lifecycle, verifier))
        echo.add_to(server.grpc)
        await server.start(SERVICE)
        channel = open_channel(f"127.0.0.1:{server.port}", settings=FrontendSettings(data_dir=data_dir))
        async with channel:
            yield Running(echo, EchoStub(channel), channel, server, lifecycle)
        lifecycle.stop()
