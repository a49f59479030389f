"""Which address a call came from, where proxies may stand in between."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from chassis.peer import Peer

Networks = Sequence[IPv4Network | IPv6Network]

UNKNOWN: Final = "unknown"
"""All calls whose address is not known share one limit."""
_PORT: Final = re.compile(r"(:[0-9]{1,5})?")
_IPV6_PREFIX: Final = 64
"""One customer gets a whole /64 and may call from each of its addresses."""


def networks_of(text: str) -> Networks:
    """Networks and addresses separated by blanks. Raises ValueError."""
    return tuple(ip_network(word, strict=False) for word in text.split())


def client_address(peer: Peer, proxies: Networks) -> str:
    """The address to hold to account: IPv4 as it is, of IPv6 the /64.

    What ``X-Forwarded-For`` says is believed as far as its writers are in ``proxies``: from the last entry, which the
    peer itself wrote, back to the first address that is no proxy of ours. Everything before that is the client's own
    word.
    """
    found = _parsed(peer.host)
    for entry in reversed([part for value in peer.forwarded_for for part in value.split(",")]):
        if found is None or not _is_in(found, proxies):
            break
        said = _parsed(entry.strip())
        if said is None:
            break
        found = said
    if found is None:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _IPV6_PREFIX), strict=False))
    return str(found)


def _is_in(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    host = _without_port(text).partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _without_port(text: str) -> str:
    """``192.0.2.1:5678`` and ``[2001:db8::1]:443`` without their ports, which some proxies write besides. More than one
    colon outside of brackets is IPv6, which has no port then."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
    elif text.count(":") == 1:
        host, bracket, port = text.partition(":")
        port = f":{port}"
    else:
        return text
    return host if bracket and _PORT.fullmatch(port) else text
