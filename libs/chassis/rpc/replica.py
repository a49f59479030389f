"""The edge of a replica: our pipeline around methods whose RPC somebody else's server took.

Ray Serve's gRPC proxy has no interceptors and hands a replica a request and a context that was sent between processes.
Such a context knows no deadline and can't abort: an error is a status that is set on it, and an empty reply.
Nothing here imports ray: any context with the four methods of `CarriedContext` will do.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, Self, TypeVar

import grpc

from chassis.addresses import Address
from chassis.errors import InvalidRequest
from chassis.resilience.admission import AdmissionController
from chassis.rpc.deadlines import budget
from chassis.rpc.interceptors import Authenticator, ServerPipeline
from chassis.rpc.status import Trailers
from chassis.telemetry import Telemetry, logger, metrics, setup
from chassis.telemetry.http import MetricsServer
from chassis.tokens import InternalTokenVerifier, jwks_file

if TYPE_CHECKING:
    from chassis.settings import ServiceSettings

TIMEOUT_KEY: Final = "x-headwater-timeout-ms"
"""Metadata in which the proxy passes on what is left of the caller's deadline, in milliseconds: gRPC's own deadline
ends at the proxy. Relative, as gRPC's is, so that clocks need not agree."""
_MOST_DIGITS: Final = 9
"""About eleven days: longer numbers are not deadlines."""

_log = logger("replica")

Request = TypeVar("Request")
Response = TypeVar("Response")


class CarriedContext(Protocol):
    """What is used of `ray.serve.grpc_util.RayServegRPCContext`."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]: ...

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def set_details(self, details: str) -> None: ...

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str | bytes]]) -> None: ...


class ReplicaPipeline:
    """Admission, error mapping, identity, deadline, span and metrics of a replica, as on a server of our own.

    Args:
        admission: Bounds what the replica works on; the proxy's own queue stands before it.
        authenticator: Proves who calls.
    """

    def __init__(self, admission: AdmissionController, authenticator: Authenticator) -> None:
        self._pipeline = ServerPipeline(admission, authenticator)

    async def answer(
        self,
        path: str,
        method: Callable[[Request, Any], Awaitable[Response]],
        request: Request,
        context: CarriedContext,
        nothing: Response,
    ) -> Response:
        """Runs a servicer's method ``/service/method``.

        An error is written to ``context`` and answered with ``nothing``: what is raised would be sent to the caller by
        the proxy, traceback and all. Only a cancellation leaves.
        """
        call = _ReplicaCall(context)

        async def work() -> Response:
            left = call.time_remaining()
            if left is None:
                return await method(request, call)
            # Whether the proxy cancels in time is its business: this ends the work.
            async with budget(left):
                return await method(request, call)

        try:
            return await self._pipeline.serve(path, call, work)
        except grpc.aio.AbortError:
            return nothing


class ReplicaEdge:
    """What a replica has besides its model: the pipeline, telemetry and the metrics endpoint. Made by ``open``."""

    def __init__(self, pipeline: ReplicaPipeline, telemetry: Telemetry, endpoint: MetricsServer) -> None:
        self.answer: Final = pipeline.answer
        self._telemetry = telemetry
        self._endpoint = endpoint

    @classmethod
    async def open(cls, settings: ServiceSettings, accepted_issuers: Collection[str]) -> Self:
        """Sets up telemetry of the process and serves ``/metrics`` on ``metrics_listen``, or on a free port where
        another replica of the node was first.

        Raises:
            KeyFileError: There are no keys to verify callers with.
        """
        verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), accepted_issuers)
        telemetry = setup(settings)
        admission = AdmissionController(settings.max_in_flight)
        metrics.RPC_SERVER_IN_FLIGHT.observe(lambda: admission.in_flight)
        endpoint = MetricsServer(settings.metrics_listen, telemetry.registry, lambda: "")
        try:
            address = await endpoint.start()
        except OSError:
            elsewhere = Address(Address.parse(settings.metrics_listen).host, 0)
            endpoint = MetricsServer(str(elsewhere), telemetry.registry, lambda: "")
            address = await endpoint.start()
        _log.info("replica opens", metrics=str(address))
        return cls(ReplicaPipeline(admission, verifier), telemetry, endpoint)

    def close(self) -> None:
        """Sends what telemetry is left. Blocks for about a second at most."""
        self._telemetry.shutdown()


class _ReplicaCall:
    """A carried context with what the pipeline needs of grpc.aio's."""

    def __init__(self, context: CarriedContext) -> None:
        self._context = context
        self._code = grpc.StatusCode.OK
        self._arrived = time.monotonic()

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return self._context.invocation_metadata()

    def time_remaining(self) -> float | None:
        """Seconds left; None without a deadline. Raises InvalidRequest where the proxy's note makes no sense."""
        values = [value for key, value in self._context.invocation_metadata() if key == TIMEOUT_KEY]
        if not values:
            return None
        value = values[0]
        if len(values) > 1 or not isinstance(value, str) or not value.isdecimal() or len(value) > _MOST_DIGITS:
            raise InvalidRequest("The call's time limit can't be read.", reason="BAD_TIMEOUT")
        return max(0.0, self._arrived + int(value) / 1000 - time.monotonic())

    def code(self) -> grpc.StatusCode:
        return self._code

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Trailers = ()) -> NoReturn:
        self._code = code
        self._context.set_code(code)
        self._context.set_details(details)
        # It is appended to a list of Serve's own: a tuple would fail.
        self._context.set_trailing_metadata(list(trailing_metadata))
        raise grpc.aio.AbortError()
