"""The embedder or the reranker in processes of its own, behind one of its two edges."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import grpc
from tests.servers import ray as ray_server
from tests.servers.native import free_port

from chassis.errors import DeadlineExceeded, DependencyUnavailable
from chassis.rpc.client import open_channel
from chassis.settings import ServiceSettings
from chassis.tokens import create_keys, service_caller

CALLER = service_caller("retriever", "acme")
START_SECONDS = 400.0
"""Ray starts a dozen processes, one after another on a machine that is busy."""
_STOP_SECONDS = 90.0


class CallerSettings(ServiceSettings):
    service_name: ClassVar[str] = "retriever"


@dataclass(frozen=True)
class Edge:
    """A running service: ``kind`` is "plain" or "ray"."""

    kind: str
    target: str
    directory: Path

    def channel(self) -> grpc.aio.Channel:
        return open_channel(self.target, settings=CallerSettings(data_dir=self.directory))


@contextmanager
def running(
    kind: str,
    directory: Path,
    command: Sequence[str],
    settings: Mapping[str, str],
    ask: Callable[[grpc.aio.Channel], Awaitable[object]],
) -> Iterator[Edge]:
    """Runs ``python <command>`` with a Ray node of its own where ``kind`` is "ray", until ``ask`` gets an answer."""
    create_keys(directory / "keys", ["gateway", "ingest", "retriever", "stranger"])
    port = free_port()
    environment = {
        **os.environ,
        "HEADWATER_DATA_DIR": str(directory),
        "HEADWATER_LISTEN": f"127.0.0.1:{port}",
        "HEADWATER_SERVE__CPUS": "0.1",
        "HEADWATER_SERVE__HTTP_PORT": str(free_port()),
        "HEADWATER_SERVE__HEALTH_TIMEOUT_SECONDS": "60",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **settings,
    }
    with (directory / "log").open("wb") as log, ExitStack() as stack:
        if kind == "ray":
            node = ray_server.start(directory, environment)
            stack.callback(node.stop)
            environment["RAY_ADDRESS"] = node.address
        process = subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=subprocess.STDOUT)
        stack.callback(_stop, process)
        edge = Edge(kind, f"127.0.0.1:{port}", directory)
        asyncio.run(_until_ready(edge, process, ask))
        yield edge


async def _until_ready(
    edge: Edge, process: subprocess.Popen[bytes], ask: Callable[[grpc.aio.Channel], Awaitable[object]]
) -> None:
    until = time.monotonic() + START_SECONDS
    async with edge.channel() as channel:
        while True:
            try:
                await ask(channel)
                return
            except (DependencyUnavailable, DeadlineExceeded):
                log = (edge.directory / "log").read_text(errors="replace")
                assert process.poll() is None, log[-4000:]
                assert time.monotonic() < until, log[-4000:]
                await asyncio.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
