from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.unit.chassis.echo import CALLER, SERVICE, Echo, EchoSettings, EchoStub, FrontendSettings, running_echo

from chassis.errors import (
    DeadlineExceeded,
    Defect,
    DependencyUnavailable,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unauthenticated,
)
from chassis.identity import current_caller
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import call, open_channel, stream
from chassis.rpc.deadlines import deadline_in
from chassis.rpc.options import MAX_MESSAGE_BYTES
from chassis.rpc.server import GrpcServer
from chassis.tokens import METADATA_KEY, InternalTokenVerifier, TokenMinter, jwks_file, private_key_file, service_caller


async def _until_released(gate: asyncio.Event, request: bytes) -> bytes:
    await gate.wait()
    return request


async def test_a_call_is_served_for_the_caller_it_was_signed_for(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        assert await call(running.stub.Say, b"hello", timeout_seconds=10, as_caller=CALLER) == b"hello"
        assert running.echo.tenant == "acme"


async def test_a_call_without_identity_is_refused(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        with pytest.raises(Unauthenticated):
            await call(running.stub.Say, b"", timeout_seconds=10)
        with pytest.raises(Unauthenticated):
            await call(running.stub.Say, b"", timeout_seconds=10, metadata=[("x-headwater-tenant", "acme")])
        assert not running.echo.started.is_set()


async def test_bytes_that_are_no_message_are_refused_with_a_reason_and_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound, broken = StringValue(value="pump").SerializeToString(), b"\x0a\xff"
    async with running_echo(tmp_path) as running:
        assert await call(running.stub.Read, sound, timeout_seconds=10, as_caller=CALLER) == b"pump"
        assert (
            await call(running.stub.ReadAll, iter([sound, sound]), timeout_seconds=10, as_caller=CALLER) == b"pumppump"
        )
        for method, request in ((running.stub.Read, broken), (running.stub.ReadAll, iter([sound, broken, sound]))):
            with pytest.raises(InvalidRequest) as refused:
                await call(method, request, timeout_seconds=10, as_caller=CALLER)
            assert refused.value.reason == "MALFORMED_MESSAGE"
        with pytest.raises(Unauthenticated):
            await call(running.stub.Read, broken, timeout_seconds=10)
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_issuer_that_is_not_accepted_is_refused(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        token = TokenMinter(private_key_file(tmp_path / "keys", "stranger"), "stranger").mint(CALLER)
        with pytest.raises(Unauthenticated):
            await call(running.stub.Say, b"", timeout_seconds=10, metadata=[(METADATA_KEY, token)])


async def test_two_identities_on_one_call_are_refused(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        token = TokenMinter(private_key_file(tmp_path / "keys", "frontend"), "frontend").mint(CALLER)
        with pytest.raises(Unauthenticated) as refused:
            await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER, metadata=[(METADATA_KEY, token)])
        assert refused.value.reason == "AMBIGUOUS_IDENTITY"


async def test_a_service_without_a_key_can_not_speak_for_anyone(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        keyless = FrontendSettings(data_dir=tmp_path, internal_keys_dir=tmp_path / "no-keys")
        async with open_channel(running.target, settings=keyless) as channel:
            with pytest.raises(Unauthenticated) as refused:
                await call(EchoStub(channel).Say, b"", timeout_seconds=10, as_caller=CALLER)
            assert refused.value.reason == "NO_SIGNING_KEY"


async def test_the_identity_of_the_rpc_being_served_is_passed_on_as_it_is(tmp_path: Path) -> None:
    async with running_echo(tmp_path / "back") as back:

        async def ask_further(request: bytes) -> bytes:
            # No key of its own is involved: the middle service has none that the one behind it would accept.
            return await call(back.stub.Say, request + current_caller().issuer.encode(), timeout_seconds=10)

        async with running_echo(
            tmp_path / "middle", Echo(ask_further), internal_keys_dir=tmp_path / "back" / "keys"
        ) as middle:
            issuer = FrontendSettings(data_dir=tmp_path / "back")
            async with open_channel(middle.target, settings=issuer) as channel:
                answer = await call(EchoStub(channel).Say, b"from ", timeout_seconds=10, as_caller=CALLER)
        assert answer == b"from frontend"
        assert back.echo.tenant == "acme"


async def test_the_deadline_shrinks_with_every_hop(tmp_path: Path) -> None:
    async with running_echo(tmp_path / "back") as back:

        async def ask_further(request: bytes) -> bytes:
            return await call(back.stub.Say, request, timeout_seconds=60)

        async with (
            running_echo(
                tmp_path / "middle", Echo(ask_further), internal_keys_dir=tmp_path / "back" / "keys"
            ) as middle,
            open_channel(middle.target, settings=FrontendSettings(data_dir=tmp_path / "back")) as channel,
        ):
            await call(EchoStub(channel).Say, b"", timeout_seconds=20, as_caller=CALLER)
        assert middle.echo.remaining is not None
        assert back.echo.remaining is not None
        # The middle asked for 60 s. gRPC rounds a timeout of this size up to a tenth of a second on the wire.
        assert back.echo.remaining <= middle.echo.remaining + 0.1
        assert middle.echo.remaining <= 20.1


async def test_time_that_is_up_before_the_call_makes_no_call(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        with deadline_in(0), pytest.raises(DeadlineExceeded):
            await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER)
        assert not running.echo.started.is_set()


async def test_a_call_past_its_deadline_fails_and_its_work_is_cancelled(tmp_path: Path) -> None:
    async with running_echo(tmp_path, Echo(lambda r: _until_released(asyncio.Event(), r))) as running:
        with pytest.raises(DeadlineExceeded):
            await call(running.stub.Say, b"", timeout_seconds=0.2, as_caller=CALLER)
        await asyncio.wait_for(running.echo.cancelled.wait(), 10)


async def test_a_caller_that_leaves_cancels_the_work(tmp_path: Path) -> None:
    async with running_echo(tmp_path, Echo(lambda r: _until_released(asyncio.Event(), r))) as running:
        leaving = asyncio.create_task(call(running.stub.Say, b"", timeout_seconds=60, as_caller=CALLER))
        await asyncio.wait_for(running.echo.started.wait(), 10)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.wait_for(running.echo.cancelled.wait(), 10)
        await _in_flight_reaches(running.server, 0)


async def test_a_stream_that_is_left_early_is_cancelled_at_the_other_end(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        async with aclosing(stream(running.stub.Count, b"1000000000", timeout_seconds=60, as_caller=CALLER)) as numbers:
            async for number in numbers:
                if number == b"3":
                    break
        await asyncio.wait_for(running.echo.cancelled.wait(), 10)
        await _in_flight_reaches(running.server, 0)


async def test_a_stream_arrives_whole_and_its_failure_as_a_typed_error(tmp_path: Path) -> None:
    async def fail_later(request: bytes) -> bytes:
        if request == b"2":
            raise NotFound("gone", reason="GONE")
        return request

    async with running_echo(tmp_path, Echo(fail_later)) as running:
        numbers = [n async for n in stream(running.stub.Count, b"5", timeout_seconds=10, as_caller=CALLER)]
        assert numbers == [b"0", b"1", b"2", b"3", b"4"]
        with pytest.raises(NotFound) as received:
            async for _ in stream(running.stub.Count, b"2", timeout_seconds=10, as_caller=CALLER):
                pass
        assert received.value.reason == "GONE"


async def test_work_beyond_the_limit_is_refused_fast_while_health_is_answered(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running_echo(tmp_path, Echo(lambda r: _until_released(gate, r)), max_in_flight=2) as running:
        held = [
            asyncio.create_task(call(running.stub.Say, b"", timeout_seconds=60, as_caller=CALLER)) for _ in range(2)
        ]
        await _in_flight_reaches(running.server, 2)
        seconds = []
        for _ in range(20):
            started = time.perf_counter()
            with pytest.raises(Overloaded) as refused:
                await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER)
            seconds.append(time.perf_counter() - started)
            assert (refused.value.retry_after_seconds or 0) > 0
        assert sorted(seconds)[10] < 0.1
        with pytest.raises(Overloaded):
            async for _ in stream(running.stub.Count, b"2", timeout_seconds=10, as_caller=CALLER):
                pass
        assert await _health(running.channel, SERVICE) == health_pb2.HealthCheckResponse.SERVING
        gate.set()
        await asyncio.gather(*held)
        assert await call(running.stub.Say, b"again", timeout_seconds=10, as_caller=CALLER) == b"again"


async def test_an_unknown_exception_is_internal_without_its_text_and_logged_without_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(request: bytes) -> bytes:
        raise ValueError(f"could not read {request!r}")

    async with running_echo(tmp_path, Echo(fail)) as running:
        with pytest.raises(Defect) as received:
            await call(running.stub.Say, b"private text", timeout_seconds=10, as_caller=CALLER)
    assert received.value.reason == "INTERNAL"
    assert "private" not in received.value.message


async def test_a_message_over_the_limit_is_an_invalid_request(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        with pytest.raises(InvalidRequest) as refused:
            await call(running.stub.Say, b"x" * (MAX_MESSAGE_BYTES + 1), timeout_seconds=10, as_caller=CALLER)
        assert refused.value.reason == "MESSAGE_TOO_LARGE"


async def test_a_caller_with_thousands_of_groups_is_served(tmp_path: Path) -> None:
    groups = frozenset(f"group-with-a-long-name-{number:05}" for number in range(5000))
    caller = service_caller("frontend", "acme")
    caller = type(caller)("acme", "alice", groups, issuer="frontend")
    async with running_echo(tmp_path) as running:
        assert await call(running.stub.Say, b"hi", timeout_seconds=10, as_caller=caller) == b"hi"


async def test_a_service_s_own_unavailable_is_not_retried_by_the_channel(tmp_path: Path) -> None:
    attempts = 0

    async def fail(_request: bytes) -> bytes:
        nonlocal attempts
        attempts += 1
        raise DependencyUnavailable("the store is down", retry_after_seconds=2)

    async with running_echo(tmp_path, Echo(fail)) as running:
        with pytest.raises(DependencyUnavailable):
            await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER)
    assert attempts == 1


async def test_a_peer_that_is_not_there_is_a_dependency_that_is_unavailable(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        await running.server.stop(0)
        with pytest.raises(DependencyUnavailable) as failed:
            await call(running.stub.Say, b"", timeout_seconds=10, as_caller=CALLER)
        assert failed.value.retry_after_seconds is not None


async def test_draining_lets_the_rpc_in_flight_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running_echo(tmp_path, Echo(lambda r: _until_released(gate, r)), drain_seconds=30) as running:
        in_flight = asyncio.create_task(call(running.stub.Say, b"done", timeout_seconds=60, as_caller=CALLER))
        await asyncio.wait_for(running.echo.started.wait(), 10)
        serving = asyncio.create_task(running.lifecycle.serve_until_signal())
        running.lifecycle.stop()
        async with asyncio.timeout(10):
            while await _health(running.channel, SERVICE) == health_pb2.HealthCheckResponse.SERVING:
                pass
        async with asyncio.timeout(10):
            refused = False
            while not refused:
                try:
                    await call(running.stub.Say, b"late", timeout_seconds=0.3, as_caller=CALLER)
                except DependencyUnavailable:
                    refused = True
                except DeadlineExceeded:
                    # Accepted before the listener closed, and waiting at the gate.
                    continue
        gate.set()
        assert await in_flight == b"done"
        await asyncio.wait_for(serving, 10)


async def test_a_caller_that_is_still_sending_is_told_why_its_stream_was_refused(tmp_path: Path) -> None:
    async def refuse(part: bytes) -> bytes:
        raise InvalidRequest("No.", reason="TOO_MUCH")

    taken = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(50):
            yield bytes(2**18)
            taken += 1

    async with running_echo(tmp_path, Echo(refuse)) as running:
        with pytest.raises(InvalidRequest) as refused:
            await call(running.stub.Gather, parts(), timeout_seconds=30, as_caller=CALLER)
        assert refused.value.reason == "TOO_MUCH"
        # No write of the caller has failed, so none can have hidden the answer.
        assert taken == 50
        with pytest.raises(Unauthenticated):
            await call(running.stub.Gather, parts(), timeout_seconds=30)
        assert taken == 100


async def test_development_mode_binds_to_loopback_only_and_serves_reflection(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        EchoSettings(data_dir=tmp_path, development=True, listen="0.0.0.0:0")
    async with running_echo(tmp_path, development=True) as running:
        verifier = InternalTokenVerifier(jwks_file(tmp_path / "keys"), {"frontend"})
        open_to_all = running.server._settings.model_copy(update={"listen": "0.0.0.0:0"})
        with pytest.raises(ValueError, match="loopback"):
            await GrpcServer(open_to_all, Lifecycle(open_to_all), verifier).start(SERVICE)
        assert await _reflects(running.channel)
    async with running_echo(tmp_path) as running:
        assert not await _reflects(running.channel)


async def test_a_port_that_is_taken_is_refused_instead_of_shared(tmp_path: Path) -> None:
    async with running_echo(tmp_path) as running:
        with pytest.raises(OSError, match="another process"):
            async with running_echo(tmp_path, listen=running.target):
                pytest.fail("two servers share a port")


async def _in_flight_reaches(server: GrpcServer, number: int) -> None:
    async with asyncio.timeout(10):
        while server.admission.in_flight != number:
            await asyncio.sleep(0)


async def _health(channel: grpc.aio.Channel, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    response = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return int(response.status)


async def _reflects(channel: grpc.aio.Channel) -> bool:
    services: Any = channel.unary_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    try:
        async for _ in services(b"", timeout=10):
            pass
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNIMPLEMENTED
    return True
