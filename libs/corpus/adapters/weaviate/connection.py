"""The one way in which this package talks to Weaviate, and what its errors mean.

Rows and searches go over gRPC, with the messages of the official client; the schema goes over REST, which is where the
server has it. The official client itself is not used: it asks the package registry for newer versions of itself, can't
be created while the server is down, waits through several retries before it says that a server is gone, and drops the
status code of an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
import httpx
from weaviate.proto.v1 import (
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

from chassis.endpoints import WeaviateEndpoint
from chassis.errors import DependencyUnavailable, FailedPrecondition, HeadwaterError, Overloaded

SEARCH_SECONDS: Final = 10.0
"""Longest one search may take. What a caller has time for is less as a rule, and enforced by whoever calls."""
WRITE_SECONDS: Final = 60.0
"""Longest one batch may take: on two busy cores the graph takes some thousand vectors a second."""
SCHEMA_SECONDS: Final = 30.0

_RETRY_AFTER_SECONDS: Final = 1.0
_MAX_MESSAGE_BYTES: Final = 64 * 2**20
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # By default a channel waits up to two minutes before it looks for a server that was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

_STALE_CONNECTION = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class NoSuchPlace(Exception):
    """Internal signal: the collection or the tenant is not there. What that means is for the caller to say."""


class WeaviateConnection:
    """Channels to one Weaviate, opened at the first call and again after the server was away. Nothing is repeated
    here, besides what a connection that went stale while idle swallowed: every call of this package is idempotent.

    All methods raise NoSuchPlace, DependencyUnavailable, Overloaded, FailedPrecondition. A write that raised has an
    unknown outcome.
    """

    def __init__(self, endpoint: WeaviateEndpoint) -> None:
        self.endpoint = endpoint
        key = endpoint.api_key.get_secret_value()
        bearer = f"Bearer {key}" if key else ""
        self._metadata = (("authorization", bearer),) if bearer else ()
        self._http = httpx.AsyncClient(
            base_url=f"{'https' if endpoint.secure else 'http'}://{endpoint.http}/v1",
            headers={"authorization": bearer} if bearer else {},
            timeout=httpx.Timeout(SCHEMA_SECONDS, connect=5.0),
            trust_env=False,
        )
        if endpoint.secure:
            self._channel = grpc.aio.secure_channel(
                endpoint.grpc, grpc.ssl_channel_credentials(), options=_CHANNEL_OPTIONS
            )
        else:
            self._channel = grpc.aio.insecure_channel(endpoint.grpc, options=_CHANNEL_OPTIONS)
        # With replicas, most of them take a write before it returns; the rest follows.
        replicated = endpoint.replicas > 1
        self.write_consistency = base_pb2.CONSISTENCY_LEVEL_QUORUM if replicated else None
        self._stub = weaviate_pb2_grpc.WeaviateStub(self._channel)  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        await self._http.aclose()
        await self._channel.close()

    async def search(self, request: search_get_pb2.SearchRequest) -> Sequence[Any]:
        """Results of a search or of a listing."""
        reply = await self._call(self._stub.Search, request, SEARCH_SECONDS)
        return reply.results  # type: ignore[no-any-return]

    async def write(self, objects: Sequence[batch_pb2.BatchObject]) -> None:
        """Inserts or replaces objects; returns only if every single one was taken."""
        request = batch_pb2.BatchObjectsRequest(objects=objects, consistency_level=self.write_consistency)
        reply = await self._call(self._stub.BatchObjects, request, WRITE_SECONDS)
        for failure in reply.errors:
            raise error_of_text(failure.error)

    async def delete(self, request: batch_delete_pb2.BatchDeleteRequest) -> None:
        """Deletes what the request's filter matches; returns only if no object failed."""
        reply = await self._call(self._stub.BatchDelete, request, WRITE_SECONDS)
        if reply.failed:
            raise unavailable()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        accept: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """One REST call. Answers outside 2xx raise, besides those whose status is in ``accept``."""
        try:
            try:
                response = await self._http.request(method, path, json=body)
            except _STALE_CONNECTION:
                response = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise unavailable() from error
        if response.is_success or response.status_code in accept:
            return response
        raise error_of_status(response.status_code, response.text)

    async def _call(self, method: Callable[..., Awaitable[Any]], request: object, seconds: float) -> Any:
        try:
            return await method(request, timeout=seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise _error_of_call(error) from error


async def open_weaviate(endpoint: WeaviateEndpoint) -> WeaviateConnection:
    """A connection that connects at its first call, so a service starts while Weaviate is down."""
    return WeaviateConnection(endpoint)


def _error_of_call(error: grpc.aio.AioRpcError) -> Exception:
    match error.code():
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return _busy()
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return _forbids()
        case grpc.StatusCode.UNKNOWN | grpc.StatusCode.INTERNAL | grpc.StatusCode.NOT_FOUND:
            return error_of_text(error.details() or "")
        case _:
            return unavailable()


def error_of_text(text: str) -> Exception:
    """What a failure means that comes without a code: the server's gRPC errors are all UNKNOWN, those of single objects
    are sentences."""
    if "tenant not found" in text or "could not find class" in text or "not found in schema" in text:
        return NoSuchPlace()
    if "too many requests" in text.lower():
        return _busy()
    return unavailable()


def error_of_status(status: int, text: str) -> Exception:
    """What a REST status outside 2xx means."""
    if status == 429:
        return _busy()
    if status in (401, 403):
        return _forbids()
    if status == 404 or "tenant not found" in text or "could not find class" in text:
        return NoSuchPlace()
    if status >= 500 or status == 408:
        return unavailable()
    return FailedPrecondition(
        "Weaviate refuses a request; run 'headwater admin check'.",
        reason="COLLECTION_MISMATCH",
        metadata={"status": str(status)},
    )


def unavailable() -> HeadwaterError:
    """Weaviate can't be reached, or fails."""
    return DependencyUnavailable(
        "Weaviate can't be reached or fails: retry later.",
        reason="WEAVIATE_UNAVAILABLE",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )


def _busy() -> HeadwaterError:
    return Overloaded(
        "Weaviate has more work than room for: retry later.",
        reason="WEAVIATE_BUSY",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )


def _forbids() -> HeadwaterError:
    return DependencyUnavailable(
        "Weaviate refuses this service's credentials; check its API key.",
        reason="WEAVIATE_FORBIDS",
        retry_after_seconds=10.0,
    )
