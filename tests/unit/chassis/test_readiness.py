"""A part of a service that does not do its work is said to those who ask whether it does, and to nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import prometheus_client
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.lifecycle import Lifecycle
from chassis.rpc.server import READINESS, GrpcServer
from chassis.settings import ServiceSettings
from chassis.telemetry.http import MetricsServer
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file

SERVICE = "headwater.some.v1.SomeService"


class SomeSettings(ServiceSettings):
    """Those of any service."""

    service_name = "some"


async def get(address: str, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    response = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    head, _, body = response.partition("\r\n\r\n")
    return int(head.split()[1]), body.strip()


async def test_an_impaired_part_is_unready_with_its_reason_and_the_service_stays_healthy(tmp_path: Path) -> None:
    create_keys(tmp_path / "keys", ["gateway"])
    settings = SomeSettings(data_dir=tmp_path, trace_files=False)
    lifecycle = Lifecycle(settings)
    endpoint = MetricsServer("127.0.0.1:0", prometheus_client.CollectorRegistry(), lambda: lifecycle.unready_because)
    address = str(await endpoint.start())
    verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), {"gateway"})
    async with GrpcServer(settings, lifecycle, verifier) as server:
        await server.start(SERVICE)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)

            async def serving(service: str) -> bool:
                reply = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
                return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

            assert await get(address, "/readyz") == (503, "not ready")
            lifecycle.ready = True
            assert await get(address, "/readyz") == (200, "ready")
            await lifecycle.impair("work", "halted since noon")
            await lifecycle.impair("more", "also halted")
            assert await get(address, "/readyz") == (503, "halted since noon; also halted")
            assert (await get(address, "/healthz"))[0] == 200
            assert (await serving(READINESS), await serving(SERVICE), await serving("")) == (False, True, True)
            await lifecycle.impair("more", "")
            assert not await serving(READINESS)
            await lifecycle.impair("work", "")
            assert await get(address, "/readyz") == (200, "ready")
            assert await serving(READINESS)
    await endpoint.close()
