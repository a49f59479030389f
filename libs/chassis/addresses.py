"""Host and port as one value."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens. ``host`` carries no brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ``host:port`` or ``[v6]:port``. Raises ValueError, which says what is expected."""
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("an address must be host:port, for example 127.0.0.1:0 or [::1]:50051")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether ``host`` can be reached from this machine only. Names other than "localhost" count as reachable from
    elsewhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def keeps_secrets(url: str, encrypted: str = "https") -> bool:
    """Whether nobody on the way can read what is sent to ``url``.

    That is so where its scheme is ``encrypted``, or where it does not leave this machine. Raises ValueError for what is
    no URL.
    """
    parts = urlsplit(url.strip())
    return parts.scheme == encrypted or is_loopback(parts.hostname or "")
