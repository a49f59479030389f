"""The gRPC server of a service: listener, health, interceptor and drain in one."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from chassis.addresses import Address, is_loopback
from chassis.resilience.admission import AdmissionController
from chassis.rpc.interceptors import Authenticator, ServerPipeline
from chassis.rpc.options import SERVER_OPTIONS
from chassis.telemetry import metrics

if TYPE_CHECKING:
    from chassis.lifecycle import Lifecycle
    from chassis.settings import ServiceSettings

READINESS: Final = "readiness"
"""Health service for those who ask whether everything that this process is for is being done."""
_STOP_SECONDS: Final = 5.0
"""Grace where no lifecycle sets one: the server was closed before any signal, because something failed."""


class GrpcServer:
    """A server to which servicers are added through ``.grpc``; an async context manager.

    Each RPC passes, outermost first: span, admission control (``max_in_flight``; health is exempt), error mapping,
    authentication, deadline. Reflection is served in development only, where nothing but loopback is bound.

    Args:
        settings: ``listen``, ``max_in_flight`` and ``development`` are used.
        lifecycle: Stops this server when the service drains.
        authenticator: Proves who calls; normally an ``InternalTokenVerifier``.
    """

    def __init__(self, settings: ServiceSettings, lifecycle: Lifecycle, authenticator: Authenticator) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self.admission = AdmissionController(settings.max_in_flight)
        self.grpc: grpc.aio.Server = grpc.aio.server(
            interceptors=[ServerPipeline(self.admission, authenticator)], options=SERVER_OPTIONS
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        self._address: Address | None = None
        self._stopped = False

    @property
    def port(self) -> int:
        """The port that was bound."""
        if self._address is None:
            raise RuntimeError("The server has not been started.")
        return self._address.port

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._lifecycle.seconds_left()
        await self.stop(_STOP_SECONDS if left is None else left)

    async def start(self, *service_names: str) -> None:
        """Binds, serves, and reports each of ``service_names`` (and the server as a whole, "") as healthy.

        Raises:
            OSError: The address is taken or can't be bound.
            ValueError: Development mode was asked to bind something else than loopback.
        """
        listen = Address.parse(self._settings.listen)
        if self._settings.development and not is_loopback(listen.host):
            raise ValueError(
                "Development mode binds to loopback only: set listen to 127.0.0.1, or turn development off."
            )
        try:
            port = self.grpc.add_insecure_port(str(listen))
        except RuntimeError:
            raise OSError(f"{listen} can't be bound: is another process using it?") from None
        if self._settings.development:
            reflection.enable_server_reflection((*service_names, reflection.SERVICE_NAME), self.grpc)
        await self.grpc.start()
        self._address = Address(listen.host, port)
        metrics.RPC_SERVER_IN_FLIGHT.observe(lambda: self.admission.in_flight)
        for name in ("", READINESS, *service_names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._lifecycle.register_server(self)
        self._lifecycle.publish_endpoint("grpc", self._address)

    async def set_readiness(self, ready: bool) -> None:
        """Sets the health of ``READINESS``; see ``Lifecycle.impair``."""
        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set(READINESS, serving if ready else not_serving)

    async def refuse_health(self) -> None:
        """Reports every service NOT_SERVING from now on, while RPCs are still accepted."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new RPCs at once, lets those in flight finish for ``grace_seconds``, then cancels them.
        Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        await self.grpc.stop(grace_seconds)


async def stop_all(servers: list[GrpcServer], grace_seconds: float) -> None:
    """Stops servers side by side within one grace period."""
    await asyncio.gather(*(server.stop(grace_seconds) for server in servers))
