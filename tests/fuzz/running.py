"""The five services in this process, made by their own composition roots, over embedded engines and tiny models."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from tests.servers.native import free_port
from tests.unit.inference.tiny_models import make_tiny_model

import embedder.main
import gateway.main
import ingest.main
import reranker.main
import retriever.main
from chassis.identity import Caller, Scope
from chassis.lifecycle import Lifecycle
from chassis.rpc.status import DETAILS_KEY, DOMAIN
from chassis.settings import ServiceSettings
from chassis.tokens import METADATA_KEY, TokenMinter, create_keys, private_key_file
from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from reranker.settings import RerankerSettings
from retriever.settings import RetrieverSettings

SERVICES = ("embedder", "reranker", "retriever", "ingest", "gateway")
READY_SECONDS = 240.0
"""Enough beside many other programs; three seconds on a machine of its own."""
STOP_SECONDS = 60.0
CALL_SECONDS = 60.0
ALL_SCOPES = json.dumps([scope.value for scope in Scope])

Serve = Callable[[Lifecycle, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """How an RPC ended. ``reason`` is ours, empty where the status carries no details of ours."""

    code: grpc.StatusCode
    text: str
    reason: str
    seconds: float


@dataclass
class Services:
    """Where the services listen, and whether they still run."""

    keys: Path
    targets: dict[str, str] = field(default_factory=dict)
    lifecycles: list[Lifecycle] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    channels: dict[str, grpc.Channel] = field(default_factory=dict)

    @property
    def failures(self) -> list[BaseException]:
        """What made services stop: a worker that would have to be restarted is one."""
        return [each.failure for each in self.lifecycles if each.failure is not None]

    def call(self, service: str, path: str, requests: Sequence[bytes], *, streamed: bool, streams: bool) -> Answer:
        """Calls a method with raw bytes as somebody with every scope. ``streamed``: it takes a stream; ``streams``: it
        answers with one."""
        channel = self.channels[service]
        metadata = self._identity(service)
        began = time.monotonic()
        try:
            if streamed:
                channel.stream_unary(path)(iter(requests), timeout=CALL_SECONDS, metadata=metadata)
            elif streams:
                for _ in channel.unary_stream(path)(requests[0], timeout=CALL_SECONDS, metadata=metadata):
                    pass
            else:
                channel.unary_unary(path)(requests[0], timeout=CALL_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            seconds = time.monotonic() - began
            return Answer(error.code(), error.details() or "", _reason(error.trailing_metadata() or ()), seconds)
        return Answer(grpc.StatusCode.OK, "", "", time.monotonic() - began)

    def _identity(self, service: str) -> tuple[tuple[str, str], ...]:
        if service == "gateway":
            return (
                ("x-headwater-dev-tenant", "acme"),
                ("x-headwater-dev-subject", "ann"),
                ("x-headwater-dev-scopes", "read,write,admin"),
            )
        issuer = "gateway" if service in ("retriever", "ingest") else "retriever"
        caller = Caller("acme", "ann", frozenset({"staff"}), 3, frozenset(Scope))
        return ((METADATA_KEY, TokenMinter(private_key_file(self.keys, issuer), issuer).mint(caller)),)


def _reason(trailers: Any) -> str:
    raw = next((pair[1] for pair in trailers if pair[0] == DETAILS_KEY), None)
    if raw is None:
        return ""
    for detail in status_pb2.Status.FromString(raw).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return str(info.reason)
    return ""


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Starts them on a loop of their own."""
    thresholds = gc.get_threshold()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="services", daemon=True)
    thread.start()
    running = Services(folder / "data" / "keys")
    try:
        asyncio.run_coroutine_threadsafe(_start(running, folder), loop).result(READY_SECONDS)
        for name, target in running.targets.items():
            running.channels[name] = grpc.insecure_channel(target)
        yield running
    finally:
        for channel in running.channels.values():
            channel.close()
        asyncio.run_coroutine_threadsafe(_stop(running), loop).result(STOP_SECONDS + 10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_SECONDS)
        loop.close()
        # Services settle the garbage collector for their own long lives.
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _start(running: Services, folder: Path) -> None:
    model = str(make_tiny_model(folder / "tiny", window=64).path)
    create_keys(running.keys, ["gateway", "ingest", "retriever"])
    targets = running.targets = {
        name: f"127.0.0.1:{free_port()}" for name in ("embedder", "reranker", "retriever", "ingest", "gateway")
    }
    shared = {"data_dir": folder / "data", "trace_files": False, "drain_seconds": 5.0, "metrics_listen": "127.0.0.1:0"}
    known = {f"{name}_target": target for name, target in targets.items()}
    encoder = {"model": model, "runtime": "onnxruntime-fp32", "threads": 1}
    composed: list[tuple[Serve, ServiceSettings]] = [
        (embedder.main.serve, EmbedderSettings(**shared, **encoder, listen=targets["embedder"])),
        (reranker.main.serve, RerankerSettings(**shared, **encoder, listen=targets["reranker"])),
        (
            ingest.main.serve,
            IngestSettings(
                **shared,
                listen=targets["ingest"],
                embedder_target=known["embedder_target"],
                parser_processes=1,
                partitions=2,
            ),
        ),
        (
            retriever.main.serve,
            RetrieverSettings(
                **shared,
                listen=targets["retriever"],
                embedder_target=known["embedder_target"],
                reranker_target=known["reranker_target"],
            ),
        ),
        (
            gateway.main.serve,
            GatewaySettings(
                **shared,
                listen=targets["gateway"],
                http_listen="",
                development=True,
                retriever_target=known["retriever_target"],
                embedder_target=known["embedder_target"],
                ingest_target=known["ingest_target"],
            ),
        ),
    ]
    for serve, settings in composed:
        await _start_one(running, serve, settings)


async def _start_one(running: Services, serve: Serve, settings: ServiceSettings) -> None:
    lifecycle = Lifecycle(settings)
    task = asyncio.create_task(_serve(serve, lifecycle, settings), name=settings.service_name)
    running.lifecycles.append(lifecycle)
    running.tasks.append(task)
    deadline = time.monotonic() + READY_SECONDS
    while not lifecycle.ready:
        if task.done():
            task.result()
        assert time.monotonic() < deadline, f"{settings.service_name} is not ready"
        await asyncio.sleep(0.02)


async def _serve(serve: Serve, lifecycle: Lifecycle, settings: ServiceSettings) -> None:
    async with lifecycle.stack:
        await serve(lifecycle, settings)


async def _stop(running: Services) -> None:
    for lifecycle in reversed(running.lifecycles):
        lifecycle.stop()
    async with asyncio.timeout(STOP_SECONDS):
        await asyncio.gather(*running.tasks, return_exceptions=True)
