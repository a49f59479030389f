"""Calls to other services: channels, and calls that carry identity, deadline and trace, and fail in terms of the error
tree."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from opentelemetry.trace import Span, SpanKind, StatusCode

from chassis.errors import HeadwaterError, Unauthenticated
from chassis.identity import Caller, Scope, current_caller
from chassis.rpc.deadlines import timeout_for_hop
from chassis.rpc.options import CHANNEL_OPTIONS
from chassis.rpc.status import from_rpc_error
from chassis.telemetry import metrics, names, tracer, tracing
from chassis.tokens import METADATA_KEY, TokenMinter, forwarded_token, private_key_file

if TYPE_CHECKING:
    from chassis.settings import ServiceSettings

Request = TypeVar("Request")
Response = TypeVar("Response")
MetadataPairs = Sequence[tuple[str, str | bytes]]

_RENEW_SECONDS: Final = 30.0
"""How late replicas that were added are called at the most. gRPC asks for addresses again only when a connection ends,
and connections that servers end by age make round_robin of gRPC 1.78 connect dozens of times."""
_READY_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 900.0
"""For RPCs in flight on a channel that was replaced: longer than any of them may take."""

_tracer = tracer("chassis.rpc.client")


def open_channel(target: str, *, settings: ServiceSettings, renew_seconds: float = _RENEW_SECONDS) -> grpc.aio.Channel:
    """A channel to a service. Open one per target and process, and close it with the service; it connects at its first
    call. Entered (``async with``), it also finds replicas that are added later.

    Balances round-robin over the addresses of ``target``, retries lost connections within a retry budget, limits
    messages to 16 MiB, and adds identity and trace context to each call. Services' own calls are signed with
    ``<service>.private.pem`` of ``settings.keys_dir``; without that file only tokens of RPCs being served can be passed
    on.

    Args:
        target: ``host:port``, or any gRPC name such as ``dns:///embedder:50051``.
        settings: Of the calling service.
        renew_seconds: How often the addresses of a ``dns:`` target are asked for.
    """
    key = private_key_file(settings.keys_dir, settings.service_name)
    minter = TokenMinter(key, settings.service_name) if key.exists() else None
    return _Channel(target, minter, renew_seconds if target.startswith("dns:") else None)


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    *,
    timeout_seconds: float,
    as_caller: Caller | None = None,
    metadata: MetadataPairs = (),
    carries: frozenset[Scope] = frozenset(),
) -> Response:
    """Calls a method that answers once. Cancelled with the caller; nothing is left running afterwards.

    Args:
        method: Method of a stub whose channel comes from ``open_channel``.
        request: The request message.
        timeout_seconds: Limit of this call; less when the RPC being served has less time left.
        as_caller: Signs the call for this caller with the service's own key. Default: the identity of the RPC being
            served.
        metadata: Further request metadata.
        carries: Scopes of the edge that the service shall know of; see ``TokenMinter.mint``. Only with ``as_caller``.

    Raises:
        HeadwaterError: What the service answered, as it raised it, reason, metadata and retry delay included;
            DependencyUnavailable when it can't be reached, DeadlineExceeded when the time is up.
    """
    timeout = timeout_for_hop(timeout_seconds)
    async with _Attempt(method) as attempt:
        rpc: Any = method(request, timeout=timeout, metadata=attempt.metadata(as_caller, metadata, carries))
        try:
            response: Response = await rpc
        finally:
            rpc.cancel()
        return response


async def stream(
    method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
    request: Request,
    *,
    timeout_seconds: float,
    as_caller: Caller | None = None,
    metadata: MetadataPairs = (),
) -> AsyncGenerator[Response, None]:
    """Calls a method that answers with a stream. Arguments and errors as in ``call``; the time covers the whole stream.

    Use it as ``async with aclosing(stream(...)) as responses``: a loop that is left early then cancels the call at
    once.
    """
    timeout = timeout_for_hop(timeout_seconds)
    # No span is current across the yields: they run in the context of whoever iterates.
    attempt = _Attempt(method)
    error: BaseException | None = None
    rpc: Any = method(request, timeout=timeout, metadata=attempt.metadata(as_caller, metadata))
    try:
        async for response in rpc:
            yield response
    except grpc.aio.AioRpcError as failure:
        error = from_rpc_error(failure)
        raise error from failure
    except BaseException as failure:
        error = failure
        raise
    finally:
        rpc.cancel()
        attempt.finish(error)


class _Attempt:
    """Span, metrics and error mapping of one call."""

    def __init__(self, method: Any) -> None:
        self._method = method if isinstance(method, _Method) else None
        self._name = self._method.name if self._method else "rpc"
        attributes = self._method.attributes if self._method else None
        self._span: Span = _tracer.start_span(self._name, kind=SpanKind.CLIENT, attributes=attributes)
        self._started = time.monotonic()

    async def __aenter__(self) -> _Attempt:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, grpc.aio.AioRpcError):
            mapped = from_rpc_error(error)
            self.finish(mapped)
            raise mapped from error
        self.finish(error)

    def metadata(
        self, as_caller: Caller | None, extra: MetadataPairs, carries: frozenset[Scope] = frozenset()
    ) -> tuple[tuple[str, str | bytes], ...]:
        """Identity and trace context of this call, and ``extra``."""
        minter = self._method.minter if self._method else None
        identity = _identity(minter, as_caller, carries)
        return (
            *((METADATA_KEY, token) for token in (identity,) if token),
            *(("traceparent", header) for header in (tracing.traceparent(self._span),) if header),
            *extra,
        )

    def finish(self, error: BaseException | None) -> None:
        """Ends the span and counts the outcome."""
        code = "OK"
        if isinstance(error, HeadwaterError):
            code = error.grpc_status
            self._span.set_attribute(names.ERROR_REASON, error.reason)
            self._span.set_status(StatusCode.ERROR, code)
        elif error is not None:
            code = "CANCELLED"
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()
        metrics.RPC_CLIENT_DURATION.record(time.monotonic() - self._started, method=self._name, code=code)


def _identity(minter: TokenMinter | None, as_caller: Caller | None, carries: frozenset[Scope]) -> str | None:
    """The internal token for a call: minted for ``as_caller``, else the one being served, else minted for the caller
    being served (at the edge, which verified something else than an internal token). None when there is nobody: the
    other side refuses the call."""
    if as_caller is None:
        forwarded = forwarded_token()
        if forwarded is not None:
            return forwarded
        try:
            as_caller = current_caller()
        except Unauthenticated:
            return None
    if minter is None:
        raise Unauthenticated(
            "This service has no key to sign the call with: create the internal keys.", reason="NO_SIGNING_KEY"
        )
    return minter.mint(as_caller, carries=carries)


class _Method:
    """A method of a stub: gRPC's own callable with what ``call`` and ``stream`` need to know of it.

    Used directly, without ``call``, it sends what it is given and adds nothing.
    """

    __slots__ = ("_callable", "_make", "attributes", "minter", "name")

    def __init__(
        self,
        path: str,
        make: Callable[[grpc.aio.Channel], Any],
        channel: grpc.aio.Channel,
        target: str,
        minter: TokenMinter | None,
    ) -> None:
        service, _, method = path.strip("/").rpartition("/")
        self.name: Final = f"{service}/{method}"
        self.attributes: Final = {
            names.RPC_SYSTEM: "grpc",
            names.RPC_SERVICE: service,
            names.RPC_METHOD: method,
            names.SERVER_ADDRESS: target,
        }
        self.minter: Final = minter
        self._make = make
        self._callable = make(channel)

    def move(self, channel: grpc.aio.Channel) -> None:
        """Has the next calls made over ``channel``."""
        self._callable = self._make(channel)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._callable(*args, **kwargs)


class _Channel(grpc.aio.Channel):
    """A grpc.aio channel whose methods know their name and the service's key.

    Not client interceptors: grpc.aio makes a task and a wrapper per interceptor and call, which costs more than all
    they would do here.
    """

    def __init__(self, target: str, minter: TokenMinter | None, renew_seconds: float | None) -> None:
        self._target = target
        self._minter = minter
        self._renew_seconds = renew_seconds
        self._channel = self._connect()
        self._methods: list[_Method] = []
        self._replaced: set[asyncio.Task[None]] = set()
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Channel:
        if self._renew_seconds is not None:
            self._renewal = asyncio.create_task(self._renew_for_ever(self._renew_seconds), name="renew-channel")
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        for task in (self._renewal, *self._replaced):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method(method, lambda channel: channel.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method(method, lambda channel: channel.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method(method, lambda channel: channel.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method(method, lambda channel: channel.stream_stream(method, *args, **kwargs))

    def _method(self, path: str, make: Callable[[grpc.aio.Channel], Any]) -> _Method:
        method = _Method(path, make, self._channel, self._target, self._minter)
        self._methods.append(method)
        return method

    def _connect(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self._target, options=CHANNEL_OPTIONS)

    async def _renew_for_ever(self, every_seconds: float) -> None:
        while True:
            await asyncio.sleep(every_seconds)
            if self._channel.get_state() is not grpc.ChannelConnectivity.READY:
                continue  # it asks by itself, or nobody calls
            await self._renew()

    async def _renew(self) -> None:
        """Replaces the channel by one that has asked for the addresses now.

        Channels of one process share their connections, so only those to new replicas are made.
        """
        channel = self._connect()
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await channel.channel_ready()
        except BaseException as error:
            await channel.close()
            if isinstance(error, TimeoutError):
                return  # what there is goes on working
            raise
        replaced, self._channel = self._channel, channel
        for method in self._methods:
            method.move(channel)
        task = asyncio.create_task(_close_when_done(replaced), name="close-replaced-channel")
        self._replaced.add(task)
        task.add_done_callback(self._replaced.discard)


async def _close_when_done(channel: grpc.aio.Channel) -> None:
    try:
        await channel.close(_GRACE_SECONDS)
    finally:
        # Cancelled: the service closes, and what is in flight with it.
        with contextlib.suppress(asyncio.CancelledError):
            await channel.close()
