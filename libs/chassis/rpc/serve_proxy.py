"""Keeps Ray Serve's gRPC proxy to the contract of our own servers. Runs in the proxy's process.

By itself the proxy answers for a replica that died with Ray's own text, knows nothing of our error details, drops the
caller's deadline, and refuses metadata above 8 KB. Serve lets its user name functions that register services
(``grpc_servicer_functions``) and one that is called when a proxy starts
(``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``): `guarded` and `accept_our_limits` are for these two places. A version
of Serve in which they don't find what they need has a proxy that fails to start, rather than one that is unguarded.
"""

from __future__ import annotations

import asyncio
import importlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc

from chassis.errors import DeadlineExceeded, DependencyUnavailable, HeadwaterError, Overloaded
from chassis.rpc.options import SERVER_OPTIONS
from chassis.rpc.replica import TIMEOUT_KEY
from chassis.rpc.status import DETAILS_KEY, Trailers, to_wire

LIMITS_CALLBACK: Final = "chassis.rpc.serve_proxy.accept_our_limits"
"""Value of ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` on every node."""

_ATTEMPTS: Final = 3
"""Replicas that may die under a request before it is given up: a request that kills replicas must not kill them all."""
_LOST: Final = (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)
_PAUSE_SECONDS: Final = (0.02, 0.1)
_RETRY_SECONDS: Final = 1.0

Handler = Callable[[Any, Any], Awaitable[bytes]]
AddServicer = Callable[[Any, Any], None]


def guarded(add_servicer: AddServicer) -> AddServicer:
    """``add_…Servicer_to_server`` of a service whose methods take one message, answer one, and may be repeated."""

    def add(servicer: Any, server: Any) -> None:
        factory = server.service_handler_factory

        def guarding(*, service_method: str, streaming_type: Any) -> Any:
            handler = factory(service_method=service_method, streaming_type=streaming_type)
            # Serve makes handlers of all four types for each method; only the one that fits it is ever called.
            return _guard(handler) if streaming_type.name == "UNARY_UNARY" else _unguarded

        server.service_handler_factory = guarding
        try:
            add_servicer(servicer, server)
        finally:
            server.service_handler_factory = factory

    return add


def accept_our_limits() -> list[Any]:
    """Gives the proxy's server the options of our own: metadata of callers with thousands of groups, messages up to
    16 MiB, and clients that ping every 30 seconds. Returns no middleware."""
    options = importlib.import_module("ray.serve._private.constants").DEFAULT_GRPC_SERVER_OPTIONS
    if not isinstance(options, list):
        raise TypeError("This version of Ray Serve keeps the options of its gRPC server elsewhere.")
    options[:] = [option for option in SERVER_OPTIONS if option[0] != "grpc.so_reuseport"]
    return []


def _guard(handler: Handler) -> Handler:
    async def answer(request: Any, context: Any) -> bytes:
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311  # jitter
            call = _ProxyCall(context)
            reply = await handler(request, call)
            if _caller_left():
                # Serve's handler takes the cancellation for an answer.
                raise asyncio.CancelledError()
            if not call.replica_was_lost:
                break
        if call.status == 0:
            return reply
        code, details, trailers = call.outcome()
        context.set_code(code)
        context.set_details(details)
        context.set_trailing_metadata(trailers)
        return b""

    return answer


def _caller_left() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _unguarded(_request: Any, _context: Any) -> bytes:
    raise TypeError("Streams are not guarded.")


class _ProxyCall:
    """A call on its way to a replica: the caller's context, with the deadline in its metadata, and what the replica's
    answer does to it kept apart until it is known to be the contract's."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.status = 0
        self._details = ""
        self._trailers: Trailers = ()

    def __getattr__(self, name: str) -> Any:
        # Peer, authentication and compression are the caller's.
        return getattr(self._context, name)

    @property
    def replica_was_lost(self) -> bool:
        """Whether the proxy answered for a replica that died, or that was stopped before it was done."""
        return _code(self.status) in _LOST and not self._is_ours

    def outcome(self) -> tuple[grpc.StatusCode, str, Trailers]:
        """The failed call's status as our own servers would send it."""
        if self._is_ours:
            ours = tuple((key, value) for key, value in self._trailers if key != "request_id")
            return _code(self.status), self._details, ours
        wire = to_wire(_error(_code(self.status)))
        return wire.code, wire.message, wire.trailers

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        pairs = tuple(pair for pair in self._context.invocation_metadata() or () if pair[0] != TIMEOUT_KEY)
        left: float | None = self._context.time_remaining()
        return pairs if left is None else (*pairs, (TIMEOUT_KEY, str(max(0, int(left * 1000)))))

    def code(self) -> int:
        return self.status

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Trailers:
        return self._trailers

    def set_code(self, code: grpc.StatusCode | int) -> None:
        self.status = code.value[0] if isinstance(code, grpc.StatusCode) else code

    def set_details(self, details: str) -> None:
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, str | bytes]]) -> None:
        self._trailers = tuple(trailing_metadata)

    @property
    def _is_ours(self) -> bool:
        return any(key == DETAILS_KEY for key, _ in self._trailers)


def _code(number: int) -> grpc.StatusCode:
    return next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)


def _error(code: grpc.StatusCode) -> HeadwaterError:
    """What the proxy means by a status of its own. Its text stays here."""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(
            "The replicas are at capacity: retry after the given delay.", retry_after_seconds=_RETRY_SECONDS
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("The time given for this request is up: retry with a longer deadline.")
    reason = "REPLICA_LOST" if code in _LOST else "NO_REPLICA"
    return DependencyUnavailable(
        "No replica could answer: retry after the given delay.", reason=reason, retry_after_seconds=_RETRY_SECONDS
    )
