"""The one error tree, and what each error means at the two edges of a service.

    HeadwaterError
    ├── InvalidRequest          the caller sent something that can't be right
    ├── Unauthenticated         no valid proof of who calls
    ├── PermissionDenied        the caller is known and may not
    ├── NotFound                no such thing, or the caller may not know of it
    ├── Conflict                it exists with other content
    ├── FailedPrecondition      the system's state forbids it until something else is done
    ├── Overloaded              more work than there is room for: retry after a while
    ├── DependencyUnavailable   something this service needs is down: retry after a while
    ├── DeadlineExceeded        the caller's time is up
    ├── DocumentRejected        this document is bad, and will be as bad at the next attempt
    └── Defect                  an invariant of ours is broken

Every error has a stable upper-case ``reason`` for programs and a ``message`` for people, which names the next step
and never holds content of documents or queries, file paths, secrets or another exception's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar


class Disposition(StrEnum):
    """What an event consumer does with the event whose handling raised."""

    DEAD_LETTER = "dead_letter"
    """The event is bad: record it in the dead-letter topic and go on."""
    BACK_OFF = "back_off"
    """A dependency is down: pause the partition, wait, try the same event again. Never drop."""
    STOP = "stop"
    """Anything else: stop without committing; a restart tries again."""


class HeadwaterError(Exception):
    """Root of the tree. Subclasses set the gRPC status name and the consumer's disposition."""

    grpc_status: ClassVar[str] = "INTERNAL"
    disposition: ClassVar[Disposition] = Disposition.STOP
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(HeadwaterError):
    """The request can't be right, whatever the state of the system. An event that says so is a dead letter."""

    grpc_status = "INVALID_ARGUMENT"
    disposition = Disposition.DEAD_LETTER
    default_reason = "INVALID_REQUEST"


class Unauthenticated(HeadwaterError):
    """There is no valid proof of who calls."""

    grpc_status = "UNAUTHENTICATED"
    default_reason = "UNAUTHENTICATED"


class PermissionDenied(HeadwaterError):
    """The caller is known and may not do this."""

    grpc_status = "PERMISSION_DENIED"
    default_reason = "PERMISSION_DENIED"


class NotFound(HeadwaterError):
    """There is no such thing, or the caller may not know that there is."""

    grpc_status = "NOT_FOUND"
    default_reason = "NOT_FOUND"


class Conflict(HeadwaterError):
    """The thing exists already with other content."""

    grpc_status = "ALREADY_EXISTS"
    default_reason = "CONFLICT"


class FailedPrecondition(HeadwaterError):
    """The state of the system forbids it until something else is done, for instance a model mismatch is resolved."""

    grpc_status = "FAILED_PRECONDITION"
    default_reason = "FAILED_PRECONDITION"


class Overloaded(HeadwaterError):
    """No room for more work now. Carries ``retry_after_seconds``."""

    grpc_status = "RESOURCE_EXHAUSTED"
    disposition = Disposition.BACK_OFF
    default_reason = "OVERLOADED"


class DependencyUnavailable(HeadwaterError):
    """Something this service needs can't be reached or fails. Carries ``retry_after_seconds``."""

    grpc_status = "UNAVAILABLE"
    disposition = Disposition.BACK_OFF
    default_reason = "DEPENDENCY_UNAVAILABLE"


class DeadlineExceeded(HeadwaterError):
    """The time the caller gave is up. What was under way may or may not have happened."""

    grpc_status = "DEADLINE_EXCEEDED"
    disposition = Disposition.BACK_OFF
    default_reason = "DEADLINE_EXCEEDED"


class DocumentRejected(HeadwaterError):
    """This document is bad and stays bad: it is recorded with its reason and not tried again."""

    grpc_status = "INVALID_ARGUMENT"
    disposition = Disposition.DEAD_LETTER
    default_reason = "DOCUMENT_REJECTED"


class Defect(HeadwaterError):
    """An invariant of ours is broken. Never retried in place, never hidden."""

    default_reason = "DEFECT"


def disposition_of(error: BaseException) -> Disposition:
    """Consumer edge table: what to do with an event whose handling raised ``error``."""
    return error.disposition if isinstance(error, HeadwaterError) else Disposition.STOP


def grpc_status_of(error: BaseException) -> str:
    """RPC edge table: name of the canonical gRPC status code for ``error``; INTERNAL for anything outside the tree."""
    return error.grpc_status if isinstance(error, HeadwaterError) else "INTERNAL"
