"""Where a call came from: the other end of its connection, and what that says of those behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of the connection.

    Attributes:
        host: Its address; empty where it has none.
        forwarded_for: Values of ``X-Forwarded-For``, in order. Anyone can write them: believe only proxies of yours.
    """

    host: str = ""
    forwarded_for: tuple[str, ...] = ()


_current: ContextVar[Peer | None] = ContextVar("headwater_peer", default=None)
_NOBODY = Peer()


def current_peer() -> Peer:
    """The peer of the call being served; without an address outside of one."""
    return _current.get() or _NOBODY


@contextmanager
def called_by(peer: Peer) -> Iterator[None]:
    """Serves the enclosed work for a call of ``peer``."""
    token = _current.set(peer)
    try:
        yield
    finally:
        _current.reset(token)


def host_of(peer: str) -> str:
    """The address in gRPC's name of a peer: "ipv4:192.0.2.1:443", "ipv6:%5B::1%5D:443"; empty for a socket file."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")
