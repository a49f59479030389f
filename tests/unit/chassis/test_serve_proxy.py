"""The guard around Ray Serve's proxy and the edge of a replica, over real sockets; Serve itself: tests/contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.unit.chassis.echo import CALLER, FrontendSettings

from chassis.errors import (
    DeadlineExceeded,
    Defect,
    DependencyUnavailable,
    HeadwaterError,
    InvalidRequest,
    Overloaded,
    Unauthenticated,
)
from chassis.identity import current_caller
from chassis.resilience.admission import AdmissionController
from chassis.rpc.client import call, open_channel
from chassis.rpc.deadlines import remaining_seconds
from chassis.rpc.replica import TIMEOUT_KEY, ReplicaPipeline
from chassis.rpc.serve_proxy import guarded
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file

PATH = "/test.Echo/Say"
Behaviour = Callable[[bytes, Any], Awaitable[bytes]]


class Streaming(Enum):
    UNARY_UNARY = 1
    UNARY_STREAM = 2


class Proxy:
    """What Serve's proxy offers the functions that add services: handlers come from its factory."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.service_handler_factory = lambda *, service_method, streaming_type: behaviour
        self.handlers: dict[Streaming, Behaviour] = {}

    def add(self) -> None:
        for kind in Streaming:
            self.handlers[kind] = self.service_handler_factory(service_method=PATH, streaming_type=kind)


@asynccontextmanager
async def proxied(behaviour: Behaviour, directory: Path) -> AsyncIterator[Any]:
    """A stub's method of a server whose handler is ``behaviour`` behind the guard."""
    create_keys(directory / "keys", ["frontend"])
    proxy = Proxy(behaviour)
    guarded(lambda _servicer, server: server.add())(None, proxy)
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(proxy.handlers[Streaming.UNARY_UNARY])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", settings=FrontendSettings(data_dir=directory)) as channel:
        yield channel.unary_unary(PATH)
    await server.stop(1)


class Failing:
    """Answers as Serve's handler does: it sets a status, and returns."""

    def __init__(self, *codes: grpc.StatusCode) -> None:
        self._codes = list(codes)
        self.calls = 0

    async def __call__(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        if self._codes:
            context.set_code(self._codes.pop(0))
            context.set_details("ray.exceptions.ActorDiedError: Traceback (most recent call last)")
            return b""
        return request


def on_the_wire(error: HeadwaterError) -> str:
    cause = error.__cause__
    assert isinstance(cause, grpc.aio.AioRpcError)
    return repr((cause.details(), cause.trailing_metadata()))


async def test_a_request_whose_replica_was_lost_goes_to_another(tmp_path: Path) -> None:
    failing = Failing(grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)
    async with proxied(failing, tmp_path) as say:
        assert await call(say, b"hello", timeout_seconds=10, as_caller=CALLER) == b"hello"
    assert failing.calls == 3


@pytest.mark.parametrize(
    ("code", "calls", "kind", "reason"),
    [
        (grpc.StatusCode.INTERNAL, 3, DependencyUnavailable, "REPLICA_LOST"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 1, Overloaded, "OVERLOADED"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 1, DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.NOT_FOUND, 1, DependencyUnavailable, "NO_REPLICA"),
        (grpc.StatusCode.UNAVAILABLE, 1, DependencyUnavailable, "NO_REPLICA"),
    ],
)
async def test_what_the_proxy_says_by_itself_becomes_an_error_of_ours(
    code: grpc.StatusCode, calls: int, kind: type[HeadwaterError], reason: str, tmp_path: Path
) -> None:
    failing = Failing(*[code] * 9)
    async with proxied(failing, tmp_path) as say:
        with pytest.raises(kind) as raised:
            await call(say, b"hello", timeout_seconds=10, as_caller=CALLER)
    assert raised.value.reason == reason
    assert failing.calls == calls
    assert "ray" not in on_the_wire(raised.value)
    assert "Traceback" not in on_the_wire(raised.value)


async def test_the_callers_deadline_travels_in_metadata_and_his_own_note_of_it_does_not(tmp_path: Path) -> None:
    seen: list[tuple[str, str | bytes]] = []

    async def note(request: bytes, context: Any) -> bytes:
        seen.extend(pair for pair in context.invocation_metadata() if pair[0] == TIMEOUT_KEY)
        return request

    async with proxied(note, tmp_path) as say:
        await call(say, b"", timeout_seconds=5, as_caller=CALLER, metadata=[(TIMEOUT_KEY, "999999")])
    ((_, left),) = seen
    # gRPC rounds what is left of a deadline, upwards too.
    assert 0 < int(left) <= 5_100


async def test_a_caller_who_left_is_not_served_again(tmp_path: Path) -> None:
    calls: list[bytes] = []
    arrived = asyncio.Event()

    async def swallow(request: bytes, context: Any) -> bytes:
        calls.append(request)
        arrived.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            context.set_code(grpc.StatusCode.CANCELLED)
        return b""

    async with proxied(swallow, tmp_path) as say:
        asking = asyncio.create_task(call(say, b"hello", timeout_seconds=20, as_caller=CALLER))
        await arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        # A second caller's answer comes after whatever the first one's retry would have done.
        with pytest.raises(DeadlineExceeded):
            await call(say, b"other", timeout_seconds=0.5, as_caller=CALLER)
    assert calls == [b"hello", b"other"]


async def replica(request: bytes, context: Any) -> bytes:
    """Does what the request says."""
    if request == b"tenant":
        return current_caller().tenant_id.encode()
    if request == b"time":
        return str(remaining_seconds()).encode()
    if request == b"break":
        raise RuntimeError("minutes of the board")
    await asyncio.sleep(30)
    return request


def in_a_replica(directory: Path, metadata: dict[str, str] | None = None, permits: int = 1) -> Behaviour:
    create_keys(directory / "keys", ["frontend"])
    verifier = InternalTokenVerifier(jwks_file(directory / "keys"), {"frontend"})
    pipeline = ReplicaPipeline(AdmissionController(permits), verifier)

    async def answer(request: bytes, context: Any) -> bytes:
        if metadata is not None:
            own = [pair for pair in context.invocation_metadata() if pair[0] != TIMEOUT_KEY]
            context.invocation_metadata = lambda: (*own, *metadata.items())
        return await pipeline.answer(PATH, replica, request, context, b"")

    return answer


async def test_a_replica_knows_who_calls_and_how_long_he_waits(tmp_path: Path) -> None:
    async with proxied(in_a_replica(tmp_path), tmp_path) as say:
        assert await call(say, b"tenant", timeout_seconds=10, as_caller=CALLER) == b"acme"
        # gRPC rounds deadlines up on their way.
        assert 0 < float(await call(say, b"time", timeout_seconds=10, as_caller=CALLER)) < 11
        with pytest.raises(Unauthenticated):
            await call(say, b"tenant", timeout_seconds=10)


async def test_a_replica_says_nothing_of_what_broke_in_it(tmp_path: Path) -> None:
    async with proxied(in_a_replica(tmp_path), tmp_path) as say:
        with pytest.raises(Defect) as raised:
            await call(say, b"break", timeout_seconds=10, as_caller=CALLER)
    assert raised.value.reason == "INTERNAL"
    assert "board" not in on_the_wire(raised.value)


async def test_a_replica_ends_its_work_with_the_time_it_was_given(tmp_path: Path) -> None:
    async with proxied(in_a_replica(tmp_path, {TIMEOUT_KEY: "50"}), tmp_path) as say:
        with pytest.raises(DeadlineExceeded):
            await call(say, b"wait", timeout_seconds=10, as_caller=CALLER)


@pytest.mark.parametrize("note", ["", "soon", "-1", "1e3", "1234567890"])
async def test_a_time_that_cannot_be_read_is_refused(note: str, tmp_path: Path) -> None:
    async with proxied(in_a_replica(tmp_path, {TIMEOUT_KEY: note}), tmp_path) as say:
        with pytest.raises(InvalidRequest) as refused:
            await call(say, b"tenant", timeout_seconds=10, as_caller=CALLER)
    assert refused.value.reason == "BAD_TIMEOUT"


async def ask_again_and_again(say: Any) -> None:
    while True:
        await call(say, b"tenant", timeout_seconds=10, as_caller=CALLER)


async def test_a_replica_refuses_what_is_more_than_it_has_permits_for(tmp_path: Path) -> None:
    async with proxied(in_a_replica(tmp_path), tmp_path) as say:
        first = asyncio.create_task(call(say, b"wait", timeout_seconds=3, as_caller=CALLER))
        with pytest.raises(Overloaded) as refused:
            await ask_again_and_again(say)
        assert refused.value.retry_after_seconds
        with pytest.raises(DeadlineExceeded):
            await first
