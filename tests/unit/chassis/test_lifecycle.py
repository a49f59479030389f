from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.chassis.echo import CALLER, EchoSettings, EchoStub, FrontendSettings

from chassis.errors import DependencyUnavailable
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import call, open_channel
from chassis.tokens import create_keys

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def _process(data_dir: Path, mode: str = "normal", **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    create_keys(data_dir / "keys", ["frontend"])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")},
        "HEADWATER_DATA_DIR": str(data_dir),
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unit.chassis.echo_process",
        mode,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _endpoints(data_dir: Path, process: asyncio.subprocess.Process) -> dict[str, Any]:
    file = data_dir / "run" / "echo.json"
    async with asyncio.timeout(30):
        while not file.exists():
            if process.returncode is not None:
                assert process.stdout is not None
                pytest.fail((await process.stdout.read()).decode())
            await asyncio.sleep(0.01)
    content: dict[str, Any] = json.loads(file.read_text())
    assert content["pid"] == process.pid
    return content


async def _get(address: str, path: str) -> tuple[int, str]:
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        response = (await asyncio.wait_for(reader.read(), 10)).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = response.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def test_sigterm_lets_the_rpc_in_flight_finish_and_exits_0_within_the_budget(tmp_path: Path) -> None:
    async with _process(tmp_path, HEADWATER_DRAIN_SECONDS="8") as process:
        endpoints = await _endpoints(tmp_path, process)
        async with asyncio.timeout(10):
            while (await _get(endpoints["metrics"], "/readyz"))[0] != 200:
                pass
        async with open_channel(endpoints["grpc"], settings=FrontendSettings(data_dir=tmp_path)) as channel:
            stub = EchoStub(channel)
            await call(stub.Say, b"warm", timeout_seconds=10, as_caller=CALLER)
            in_flight = asyncio.create_task(call(stub.Say, b"slow", timeout_seconds=10, as_caller=CALLER))
            async with asyncio.timeout(10):
                while "headwater_rpc_server_in_flight 1.0" not in (await _get(endpoints["metrics"], "/metrics"))[1]:
                    pass
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert await in_flight == b"slow"
            assert await asyncio.wait_for(process.wait(), 10) == 0
            assert time.monotonic() - started < 8
            with pytest.raises(DependencyUnavailable):
                await call(stub.Say, b"late", timeout_seconds=10, as_caller=CALLER)
        assert not (tmp_path / "run" / "echo.json").exists()


async def test_an_rpc_that_never_ends_is_cut_off_within_the_budget(tmp_path: Path) -> None:
    async with _process(tmp_path, HEADWATER_DRAIN_SECONDS="2") as process:
        endpoints = await _endpoints(tmp_path, process)
        async with open_channel(endpoints["grpc"], settings=FrontendSettings(data_dir=tmp_path)) as channel:
            forever = asyncio.create_task(call(EchoStub(channel).Say, b"forever", timeout_seconds=60, as_caller=CALLER))
            async with asyncio.timeout(10):
                while "headwater_rpc_server_in_flight 1.0" not in (await _get(endpoints["metrics"], "/metrics"))[1]:
                    pass
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            # Interpreter shutdown comes on top of the budget.
            assert time.monotonic() - started < 3.5
            with pytest.raises(DependencyUnavailable):
                await forever


async def test_a_thread_that_never_ends_does_not_hold_the_process_beyond_its_budget(tmp_path: Path) -> None:
    async with _process(tmp_path, "stuck-thread", HEADWATER_DRAIN_SECONDS="1") as process:
        await _endpoints(tmp_path, process)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 1


async def test_the_second_signal_exits_at_once(tmp_path: Path) -> None:
    async with _process(tmp_path, HEADWATER_DRAIN_SECONDS="60") as process:
        endpoints = await _endpoints(tmp_path, process)
        async with open_channel(endpoints["grpc"], settings=FrontendSettings(data_dir=tmp_path)) as channel:
            forever = asyncio.create_task(call(EchoStub(channel).Say, b"forever", timeout_seconds=60, as_caller=CALLER))
            async with asyncio.timeout(10):
                while "headwater_rpc_server_in_flight 1.0" not in (await _get(endpoints["metrics"], "/metrics"))[1]:
                    pass
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                while (await _get(endpoints["metrics"], "/readyz"))[0] == 200:
                    pass
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 10) == 128 + signal.SIGINT
            with pytest.raises(DependencyUnavailable):
                await forever


@pytest.mark.parametrize("mode", ["dying-task", "broken-start"])
async def test_a_service_that_fails_exits_with_a_failure_and_says_why_without_content(
    tmp_path: Path, mode: str
) -> None:
    async with _process(tmp_path, mode) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"RuntimeError" in output
    assert b"private text" not in output


async def test_sigterm_during_start_up_exits_0(tmp_path: Path) -> None:
    async with _process(tmp_path, "slow-start") as process:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"starting\n"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_open_private_keys_stop_the_start_with_78(tmp_path: Path) -> None:
    async with _process(tmp_path) as process:
        (tmp_path / "keys" / "jwks.json").unlink()
        assert await asyncio.wait_for(process.wait(), 30) == 78


async def test_a_port_that_is_taken_stops_the_start_and_leaves_the_other_s_run_file_alone(tmp_path: Path) -> None:
    async with _process(tmp_path) as first:
        endpoints = await _endpoints(tmp_path, first)
        async with _process(tmp_path, HEADWATER_LISTEN=endpoints["grpc"]) as second:
            assert await asyncio.wait_for(second.wait(), 30) == 1
        assert json.loads((tmp_path / "run" / "echo.json").read_text())["pid"] == first.pid


async def test_background_tasks_end_before_the_resources_they_were_given(tmp_path: Path) -> None:
    order: list[str] = []
    lifecycle = Lifecycle(EchoSettings(data_dir=tmp_path))

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("task")

    async with lifecycle.stack as stack:
        stack.callback(order.append, "resource")
        lifecycle.create_task(work(), "work")
        await asyncio.sleep(0)
    assert order == ["task", "resource"]
    assert lifecycle.failure is None


async def test_the_first_failure_is_the_one_that_counts(tmp_path: Path) -> None:
    lifecycle = Lifecycle(EchoSettings(data_dir=tmp_path))

    async def fail(error: Exception) -> None:
        raise error

    first, second = RuntimeError("first"), RuntimeError("second")
    async with lifecycle.stack:
        for error in (first, second):
            lifecycle.create_task(fail(error), "failing")
        await asyncio.wait_for(lifecycle.serve_until_signal(), 10)
    assert lifecycle.failure is first
