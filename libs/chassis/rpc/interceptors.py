"""What happens around every RPC that is served, as one interceptor.

Outermost first: span · admission · error mapping · authentication · deadline · the method. They are one interceptor and
not six because grpc.aio builds a handler per interceptor and RPC; here each method's handler is built once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode

from chassis.errors import HeadwaterError, InvalidRequest, Overloaded, Unauthenticated
from chassis.identity import Caller, acting_as
from chassis.peer import Peer, called_by, host_of
from chassis.resilience.admission import AdmissionController
from chassis.rpc.deadlines import deadline_in, out_of_time
from chassis.rpc.status import to_wire
from chassis.telemetry import logger, metrics, names, tracer, tracing
from chassis.tokens import METADATA_KEY

Metadata = Mapping[str, str | bytes]
T = TypeVar("T")

_EXEMPT: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Answered without permit or identity: whoever asks whether a busy service lives must get an answer."""
_SINGLE: Final = (METADATA_KEY, "authorization")
_SLOW_SECONDS: Final = 5.0
"""RPCs this slow are logged even when they succeed; the rest is in metrics and traces."""

_READ_ON_BYTES: Final = 2**30
"""Read of a request stream whose method has failed, so that the caller gets to hear why; see ``_read_on``."""

_FAILED: Final = StatusCode.ERROR
_tracer = tracer("chassis.rpc.server")
_log = logger("rpc")


class Authenticator(Protocol):
    """Finds out who calls."""

    async def authenticate(self, metadata: Metadata) -> Caller:
        """The caller that the request metadata proves. Raises Unauthenticated; never trusts a bare header."""
        ...


@dataclass(frozen=True, slots=True)
class _Method:
    """What is known of a method before any call: computed once."""

    name: str
    attributes: dict[str, str]
    takes_stream: bool

    @classmethod
    def of(cls, path: str, *, takes_stream: bool) -> _Method:
        service, _, method = path.strip("/").rpartition("/")
        attributes = {names.RPC_SYSTEM: "grpc", names.RPC_SERVICE: service, names.RPC_METHOD: method}
        return cls(f"{service}/{method}", attributes, takes_stream)


class ServerPipeline(grpc.aio.ServerInterceptor):
    """The one interceptor of a server. Health and reflection pass it untouched."""

    def __init__(self, admission: AdmissionController, authenticator: Authenticator) -> None:
        self._admission = admission
        self._authenticator = authenticator
        self._handlers: dict[str, Any] = {}
        self._refusals: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        path: str = handler_call_details.method
        prepared = (self._refusals if self._admission.is_full else self._handlers).get(path)
        if prepared is not None:
            return prepared
        handler = await continuation(handler_call_details)
        if handler is None or path.startswith(_EXEMPT):
            return handler
        method = _Method.of(path, takes_stream=handler.request_streaming)
        self._handlers[path] = self._wrap(handler, method)
        self._refusals[path] = self._refusal(handler, method)
        return self._handlers[path]

    async def serve(self, path: str, context: Any, work: Callable[[], Awaitable[T]]) -> T:
        """Runs ``work`` as the method ``path``, which takes one message and answers one, of a server that has no
        interceptors. ``context`` needs ``invocation_metadata``, ``time_remaining`` and an ``abort`` that raises."""
        return await self._run(_Method.of(path, takes_stream=False), context, work)

    def _wrap(self, handler: Any, method: _Method) -> Any:
        """The same handler with the pipeline around its method.

        Methods that answer with a stream become coroutines that write: a generator would carry context variables across
        its yields, and leave its closing to the garbage collector.
        """
        readable = _readable_parts if handler.request_streaming else _readable
        if handler.response_streaming:
            generate = handler.stream_stream if handler.request_streaming else handler.unary_stream

            async def serve_stream(request: Any, context: Any) -> None:
                await self._run(method, context, lambda: _write_all(generate(readable(request), context), context))

            return _handler_like(handler, serve_stream, _read_by(handler.request_deserializer))

        answer = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def serve(request: Any, context: Any) -> Any:
            return await self._run(method, context, lambda: answer(readable(request), context))

        return _handler_like(handler, serve, _read_by(handler.request_deserializer))

    def _refusal(self, handler: Any, method: _Method) -> Any:
        """A handler that refuses without parsing the request, which at ten times the load is most of the work left."""

        async def refuse(_request: Any, context: Any) -> None:
            async def overloaded() -> None:
                raise self._admission.overloaded()

            metrics.RPC_SERVER_REJECTED.add()
            await self._record(method, context, overloaded)

        return _handler_like(handler, refuse, None)

    async def _run(self, method: _Method, context: Any, work: Callable[[], Awaitable[T]]) -> T:
        async def admitted() -> T:
            try:
                waited = await self._admission.acquire()
            except Overloaded:
                metrics.RPC_SERVER_REJECTED.add()
                raise
            started = time.monotonic()
            try:
                if waited:
                    metrics.RPC_SERVER_ADMISSION_WAIT.record(waited)
                return await self._serve(context, work)
            finally:
                seconds = time.monotonic() - started
                self._admission.release(seconds)
                metrics.RPC_SERVER_DURATION.record(seconds, method=method.name)

        return await self._record(method, context, admitted)

    async def _serve(self, context: Any, work: Callable[[], Awaitable[T]]) -> T:
        metadata = _metadata(context)
        caller = await self._authenticator.authenticate(metadata)
        left: float | None = context.time_remaining()
        if left is not None and left <= 0:
            raise out_of_time()
        with acting_as(caller), called_by(_peer(context, metadata)), deadline_in(left):
            return await work()

    async def _record(self, method: _Method, context: Any, work: Callable[[], Awaitable[T]]) -> T:
        """Runs ``work`` on a span of its own, counts its outcome, and turns what it raises into an aborted RPC."""
        span = _tracer.start_span(
            method.name, context=_trace_parent(context), kind=SpanKind.SERVER, attributes=method.attributes
        )
        started = time.monotonic()
        code = grpc.StatusCode.OK
        try:
            with tracing.current(span):
                try:
                    return await work()
                except grpc.aio.AbortError:
                    # The method aborted by itself.
                    code = context.code()
                    raise
                except asyncio.CancelledError:
                    code = _cancellation(context)
                    raise
                except Exception as error:
                    status = to_wire(error)
                    code = status.code
                    _note_failure(method, span, error, code)
                    if method.takes_stream:
                        await _read_on(context)
                    await context.abort(code, status.message, status.trailers)
                    raise AssertionError("abort raises") from error
        finally:
            _finish(method, span, code, time.monotonic() - started)


class _Unreadable:
    """Stands for a request that is none. gRPC's own answer to one would be INTERNAL, and a traceback in the log."""

    def ByteSize(self) -> int:  # noqa: N802 - as messages call it
        return 0


_UNREADABLE: Final = _Unreadable()


def _read_by(deserializer: Any) -> Any:
    """The deserializer, with ``_UNREADABLE`` for what it can't read."""
    if deserializer is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError:
            return _UNREADABLE

    return read


def _readable(request: Any) -> Any:
    if request is _UNREADABLE:
        raise InvalidRequest("The request is not the message that this method takes.", reason="MALFORMED_MESSAGE")
    return request


async def _readable_parts(requests: Any) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)


async def _write_all(responses: Any, context: Any) -> None:
    if not hasattr(responses, "__aiter__"):
        # The method writes through its context.
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


async def _read_on(context: Any) -> None:
    """Reads and drops what the caller still sends. An RPC that ends under a caller who is writing fails that caller's
    write, and grpc.aio then reports the failed write in place of the status. Ends with the caller, the deadline, or
    after ``_READ_ON_BYTES``."""
    left = _READ_ON_BYTES
    try:
        while left > 0 and (part := await context.read()) is not grpc.aio.EOF:
            left -= len(part) if isinstance(part, bytes) else part.ByteSize()
    except grpc.aio.BaseError:
        # The stream is not readable any more: there is nobody left to tell.
        return


def _handler_like(handler: Any, behaviour: Callable[[Any, Any], Awaitable[Any]], deserializer: Any) -> Any:
    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(behaviour, deserializer, handler.response_serializer)


def _peer(context: Any, metadata: Metadata) -> Peer:
    # Ray Serve's contexts don't know their peer.
    name = context.peer() if hasattr(context, "peer") else ""
    forwarded = metadata.get("x-forwarded-for")
    return Peer(host_of(name), (forwarded,) if isinstance(forwarded, str) else ())


def _metadata(context: Any) -> dict[str, str | bytes]:
    pairs = context.invocation_metadata() or ()
    metadata: dict[str, str | bytes] = dict(pairs)
    if len(metadata) != len(pairs) and any(sum(key == name for key, _ in pairs) > 1 for name in _SINGLE):
        # Which of two identities was verified must never be a question of order.
        raise Unauthenticated("The call carries more than one identity.", reason="AMBIGUOUS_IDENTITY")
    return metadata


def _trace_parent(context: Any) -> Context:
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent":
            return tracing.parent_context(value)
    return Context()


def _cancellation(context: Any) -> grpc.StatusCode:
    # gRPC cancels the task when the caller leaves and when the caller's deadline passes; the clock tells which.
    left: float | None = context.time_remaining()
    return grpc.StatusCode.DEADLINE_EXCEEDED if left is not None and left <= 0 else grpc.StatusCode.CANCELLED


def _note_failure(method: _Method, span: Span, error: Exception, code: grpc.StatusCode) -> None:
    reason = error.reason if isinstance(error, HeadwaterError) else "INTERNAL"
    span.set_attribute(names.ERROR_TYPE, type(error).__name__)
    span.set_attribute(names.ERROR_REASON, reason)
    if code is grpc.StatusCode.INTERNAL:
        _log.error("rpc failed", method=method.name, code=code.name, reason=reason, exc_info=error)
    elif code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        # Refusals under overload are counted only: writing them down would be the next overload.
        _log.info("rpc failed", method=method.name, code=code.name, reason=reason)


def _finish(method: _Method, span: Span, code: grpc.StatusCode, seconds: float) -> None:
    span.set_attribute(names.RPC_GRPC_STATUS_CODE, code.value[0])
    if code is not grpc.StatusCode.OK:
        span.set_status(_FAILED, code.name)
    span.end()
    metrics.RPC_SERVER_REQUESTS.add(1, method=method.name, code=code.name)
    if seconds >= _SLOW_SECONDS:
        _log.info("rpc was slow", method=method.name, code=code.name, seconds=round(seconds, 3))
