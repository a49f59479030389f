"""What can go wrong with a call.

HeadwaterError
├── InvalidRequestError      something in the request can't be right
├── UnauthenticatedError     no valid token
├── PermissionDeniedError    the caller may not do this
├── NotFoundError            no such thing, or the caller may not know of it
├── ConflictError            it exists with other content
├── PreconditionError        something else must be done first
├── OverloadedError          too much at once: retry after ``retry_after_seconds``
├── UnavailableError         something is down: retry after ``retry_after_seconds``
└── TimeoutExceededError     the deadline passed; a change may or may not have been accepted
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

GATEWAY_UNREACHABLE = "GATEWAY_UNREACHABLE"
"""Reason of an UnavailableError when no gateway answered at all."""


class HeadwaterError(Exception):
    """A call failed. ``reason`` is stable and for programs; the message is for people."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidRequestError(HeadwaterError):
    """Something in the request can't be right."""


class UnauthenticatedError(HeadwaterError):
    """There is no valid token."""


class PermissionDeniedError(HeadwaterError):
    """The caller may not do this."""


class NotFoundError(HeadwaterError):
    """There is no such thing, or the caller may not know of it."""


class ConflictError(HeadwaterError):
    """It exists with other content."""


class PreconditionError(HeadwaterError):
    """Something else must be done first."""


class OverloadedError(HeadwaterError):
    """Too much at once."""


class UnavailableError(HeadwaterError):
    """Something is down."""


class TimeoutExceededError(HeadwaterError):
    """The deadline passed; a change may or may not have been accepted."""


_BY_STATUS: Mapping[grpc.StatusCode, type[HeadwaterError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimeoutExceededError,
}


def from_rpc_error(error: grpc.RpcError) -> HeadwaterError:
    """The typed error for a failed RPC, with the reason and retry delay the service gave (google.rpc.Status)."""
    code = error.code()
    kind = _BY_STATUS.get(code, HeadwaterError)
    status = _status_of(error)
    if status is None:
        if code is grpc.StatusCode.UNAVAILABLE:
            message = "The gateway can't be reached. Is it running ('headwater up'), and is the address right?"
            return kind(message, reason=GATEWAY_UNREACHABLE)
        return kind(error.details() or code.name, reason=code.name)
    info, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(delay.DESCRIPTOR):
            detail.Unpack(delay)
    seconds = delay.retry_delay.ToTimedelta().total_seconds()
    return kind(
        status.message, reason=info.reason or code.name, metadata=info.metadata, retry_after_seconds=seconds or None
    )


def _status_of(error: grpc.RpcError) -> status_pb2.Status | None:
    if isinstance(error, grpc.aio.AioRpcError):
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                return status_pb2.Status.FromString(value)
        return None
    return rpc_status.from_call(cast(grpc.Call, error))
