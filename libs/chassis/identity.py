"""Who calls: the verified caller context that travels with every internal call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from chassis.errors import PermissionDenied, Unauthenticated


class Scope(StrEnum):
    """What a caller may do besides reading what he has access to."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    REVEAL = "reveal"
    """To see personal data in an answer that a language model was not shown."""
    REVIEW = "review"
    """To read what readers of the own tenant think of their answers, and what was not answered; to hold and release
    documents that he may read."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose token was verified. Never built from bare headers.

    Attributes:
        tenant_id: The tenant the call is for.
        subject: Who calls, unique in the tenant; "service:<name>" for a service's own calls.
        groups: Names of the caller's groups, compared byte for byte.
        clearance: Highest security level the caller may read, 0 and up.
        scopes: What the caller may do.
        issuer: Which key signed the token ("gateway", "ingest", …).
    """

    tenant_id: str
    subject: str
    groups: frozenset[str] = frozenset()
    clearance: int = 0
    scopes: frozenset[Scope] = field(default_factory=lambda: frozenset({Scope.READ}))
    issuer: str = ""

    @property
    def principals(self) -> frozenset[str]:
        """Everything an access list may name to let this caller read: user, groups and "public"."""
        return frozenset({f"user:{self.subject}", "public", *(f"group:{group}" for group in self.groups)})

    def require(self, scope: Scope) -> None:
        """Raises PermissionDenied unless the caller has ``scope``."""
        if scope not in self.scopes:
            raise PermissionDenied(
                f"This call needs the {scope} scope.", reason="MISSING_SCOPE", metadata={"scope": scope}
            )


_current: ContextVar[Caller | None] = ContextVar("headwater_caller", default=None)


def current_caller() -> Caller:
    """The verified caller of the RPC being served. Raises Unauthenticated outside of one."""
    caller = _current.get()
    if caller is None:
        raise Unauthenticated("The call carries no verified identity.")
    return caller


@contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    """Serves the enclosed work for ``caller``."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)
