"""Errors on the wire: the error tree to ``google.rpc.Status`` and back.

Every failed RPC carries, in the trailing metadata ``grpc-status-details-bin``, a ``google.rpc.Status`` with an
``ErrorInfo`` (reason, domain "headwater", metadata) and, when a retry makes sense, a ``RetryInfo``.
https://google.aip.dev/193
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from chassis import errors
from chassis.errors import (
    Defect,
    DependencyUnavailable,
    DocumentRejected,
    FailedPrecondition,
    HeadwaterError,
    InvalidRequest,
    Overloaded,
    grpc_status_of,
)

DOMAIN: Final = "headwater"
DETAILS_KEY: Final = "grpc-status-details-bin"
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
KIND_KEY: Final = "headwater-error"
"""Metadata key in ErrorInfo that names the error's class in the tree, for two classes may share a status code."""

_MESSAGE_BYTES: Final = 1_000
_VALUE_BYTES: Final = 400
"""UTF-8 of a message, which is sent twice and percent-encoded once, and of each value of its metadata. A caller's side
may refuse trailing metadata above 8 KiB: he would be told RESOURCE_EXHAUSTED by it, without a reason."""

Trailers = tuple[tuple[str, str | bytes], ...]

_BY_NAME: Final[dict[str, type[HeadwaterError]]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HeadwaterError) and kind.__module__ == errors.__name__
}
_BY_STATUS: Final[dict[str, type[HeadwaterError]]] = {
    kind.grpc_status: kind
    for kind in reversed(_BY_NAME.values())
    # DocumentRejected shares its code with InvalidRequest, and the root's INTERNAL is a Defect when seen from outside.
    if kind not in (HeadwaterError, DocumentRejected)
}


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What an RPC is aborted with: canonical code, text for people, and trailing metadata with the details."""

    code: grpc.StatusCode
    message: str
    trailers: Trailers


def to_wire(error: BaseException) -> WireStatus:
    """The status for ``error``. Anything outside the tree becomes INTERNAL without a word about its cause."""
    known = error if isinstance(error, HeadwaterError) else Defect("An internal error.", reason="INTERNAL")
    code = grpc.StatusCode[grpc_status_of(known)]
    message = _cut(known.message, _MESSAGE_BYTES)
    metadata = {key: _cut(value, _VALUE_BYTES) for key, value in known.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN, metadata=metadata)
    info.metadata[KIND_KEY] = _kind_in_tree(known).__name__
    status = status_pb2.Status(code=code.value[0], message=message)
    status.details.add().Pack(info)
    if known.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(known.retry_after_seconds * 1e9))
        status.details.add().Pack(retry)
    trailers: Trailers = ((DETAILS_KEY, status.SerializeToString()),)
    if code is grpc.StatusCode.UNAVAILABLE:
        # A service that answers "unavailable" has already retried what it can: the channel retries lost connections
        # only.
        trailers += ((PUSHBACK_KEY, "-1"),)
    return WireStatus(code, message, trailers)


def _cut(text: str, most_bytes: int) -> str:
    # Lone surrogates are no text that protobuf takes.
    raw = text.encode(errors="replace")
    return raw.decode() if len(raw) <= most_bytes else raw[: most_bytes - 3].decode(errors="ignore") + "…"


def from_rpc_error(error: grpc.aio.AioRpcError) -> HeadwaterError:
    """The error another service raised, as it raised it: class, reason, metadata and retry delay."""
    trailers = error.trailing_metadata()
    return from_wire(error.code(), error.details() or "", trailers or ())


def from_wire(code: grpc.StatusCode, message: str, trailers: Iterable[tuple[str, str | bytes]]) -> HeadwaterError:
    """As ``from_rpc_error``, from the parts of a status. Without our details, the class follows from the code."""
    info, retry_after = _details(trailers)
    if info is None or info.domain != DOMAIN:
        return _foreign(code, message, retry_after)
    metadata = dict(info.metadata)
    kind = _BY_NAME.get(metadata.pop(KIND_KEY, "")) or _BY_STATUS.get(code.name, Defect)
    return kind(message, reason=info.reason, metadata=metadata, retry_after_seconds=retry_after)


def _kind_in_tree(error: HeadwaterError) -> type[HeadwaterError]:
    # A service's own subclass is unknown to its callers: they get the nearest class of the shared tree, and the reason.
    return next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def _details(
    trailers: Iterable[tuple[str, str | bytes]],
) -> tuple[error_details_pb2.ErrorInfo | None, float | None]:
    info: error_details_pb2.ErrorInfo | None = None
    retry_after: float | None = None
    raw = next((value for key, value in trailers if key == DETAILS_KEY), None)
    if not isinstance(raw, bytes):
        return None, None
    try:
        for detail in status_pb2.Status.FromString(raw).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                retry_after = delay.ToNanoseconds() / 1e9
    except DecodeError:
        return None, None
    return info, retry_after


def _foreign(code: grpc.StatusCode, message: str, retry_after: float | None) -> HeadwaterError:
    """A status made by gRPC itself or by someone who doesn't know our tree. Its text is not passed on."""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return InvalidRequest("The message is larger than the limit: send less at once.", reason="MESSAGE_TOO_LARGE")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return FailedPrecondition("The called service does not offer this method.", reason="UNIMPLEMENTED")
    kind = _BY_STATUS.get(code.name, DependencyUnavailable)
    if kind is Defect:
        # INTERNAL without details comes from the transport (a reset stream), not from a service of ours.
        kind = DependencyUnavailable
    if kind in (DependencyUnavailable, Overloaded):
        retry_after = 1.0 if retry_after is None else retry_after
    reason = "PEER_" + code.name if kind is DependencyUnavailable else None
    return kind(f"The called service answered {code.name}.", reason=reason, retry_after_seconds=retry_after)
