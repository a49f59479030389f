"""Around every HTTP request: span, limits of body and time, admission, who calls, security headers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.errors import DeadlineExceeded, HeadwaterError, InvalidRequest
from chassis.peer import Peer, called_by
from chassis.resilience.admission import AdmissionController
from chassis.rpc.deadlines import budget
from chassis.telemetry import logger, names, tracer, tracing
from gateway.http.identity import HttpIdentity
from gateway.http.problem import error_response, known

_SECURITY_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    # Answers depend on who asks and what he may read now: nobody may keep them.
    "cache-control": "no-store",
}
_tracer = tracer("gateway.http")
_log = logger("http")


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one request.

    Attributes:
        body_bytes: Largest body; ``upload_bytes`` for documents.
        request_seconds: Longest request; ``upload_seconds`` for documents.
        body_idle_seconds: Longest pause inside a body.
    """

    body_bytes: int
    upload_bytes: int
    request_seconds: float
    upload_seconds: float
    body_idle_seconds: float


class Guard:
    """ASGI middleware, outermost. Nobody's body is read before it is known who he is."""

    def __init__(
        self, app: ASGIApp, identity: HttpIdentity, limits: HttpLimits, admission: AdmissionController
    ) -> None:
        self._app = app
        self._identity = identity
        self._limits = limits
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        parent = tracing.parent_context(headers.get("traceparent", ""))
        span = _tracer.start_span(f"HTTP {scope['method']}", context=parent, kind=SpanKind.SERVER)
        exchange = _Exchange(scope, receive, send, span)
        try:
            with tracing.current(span), called_by(_peer(scope, headers)):
                await self._serve(scope, exchange)
        finally:
            route = getattr(scope.get("route"), "path", None)
            if route:
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
            span.end()

    async def _serve(self, scope: Scope, exchange: _Exchange) -> None:
        path: str = scope["path"]
        # A document streams through; every other body is held in memory as a whole.
        upload = scope["method"] == "PUT" and path.startswith("/v1/documents/") and not path.endswith("/access")
        limits = self._limits
        exchange.limit_body(
            limits.upload_bytes if upload else limits.body_bytes,
            limits.body_idle_seconds,
        )
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._admission.admit())
                await stack.enter_async_context(budget(limits.upload_seconds if upload else limits.request_seconds))
                exchange.check_length()
                if path.startswith("/v1/"):
                    await self._identity.caller(Request(scope))
                await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await self._fail(scope, exchange, error)

    async def _fail(self, scope: Scope, exchange: _Exchange, error: Exception) -> None:
        exchange.span.set_status(StatusCode.ERROR)
        if not isinstance(error, HeadwaterError):
            _log.error("request failed", exc_info=error)
        if exchange.started:
            # Too late for a status: a connection that breaks off is the only honest end left.
            raise error
        response = error_response(scope["path"], known(error))
        await response(scope, exchange.receive, exchange.send)


def _peer(scope: Scope, headers: Headers) -> Peer:
    client = scope.get("client")
    return Peer(client[0] if client else "", tuple(headers.getlist("x-forwarded-for")))


class _Exchange:
    """The two channels of one request, with limits on one and headers on the other."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
        self.span = span
        self.started = False
        self._receive = receive
        self._send = send
        self._seen_bytes = 0
        self._max_bytes = 0
        self._idle_seconds = 0.0
        headers = Headers(scope=scope)
        self._length = headers.get("content-length")
        self._chunked = "transfer-encoding" in headers
        self._body_done = False

    def limit_body(self, max_bytes: int, idle_seconds: float) -> None:
        """Sets the limits of the body."""
        self._max_bytes, self._idle_seconds = max_bytes, idle_seconds

    def check_length(self) -> None:
        """Refuses a body that says itself that it is too large, before it is sent."""
        if self._length is not None and self._length.isdecimal() and int(self._length) > self._max_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        if self._body_done:
            # Only a disconnect can follow, and waiting for that takes as long as the answer.
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle_seconds) as idle:
                message = await self._receive()
        except TimeoutError:
            if not idle.expired():
                raise
            raise DeadlineExceeded("The body did not arrive in time: send it again.", reason="BODY_TIMEOUT") from None
        if message["type"] == "http.request":
            self._seen_bytes += len(message.get("body", b""))
            self._body_done = not message.get("more_body", False)
            if self._seen_bytes > self._max_bytes:
                raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if self._may_be_endless():
                # The server would go on reading for as long as somebody sends.
                headers["connection"] = "close"
            headers["x-request-id"] = f"{self.span.get_span_context().trace_id:032x}"
            self.span.set_attribute("http.response.status_code", message["status"])
            if message["status"] >= 500:
                self.span.set_status(StatusCode.ERROR)
                self.span.set_attribute(names.ERROR_TYPE, str(message["status"]))
        await self._send(message)

    def _may_be_endless(self) -> bool:
        """Whether more of the body may come than is worth reading to its end for the sake of the connection."""
        if self._body_done:
            return False
        if self._length is not None and self._length.isdecimal():
            return int(self._length) > self._max_bytes
        return self._chunked

    def _too_large(self) -> InvalidRequest:
        return InvalidRequest(
            f"The body is larger than {self._max_bytes:,} bytes: send less.",
            reason="BODY_TOO_LARGE",
            metadata={"limit_bytes": str(self._max_bytes)},
        )
