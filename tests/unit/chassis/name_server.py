"""A name server that says what it is told to: enough of DNS (RFC 1035) for A records over UDP."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for IPv4 addresses with ``addresses``, valid for no time at all."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5  # the name ends with an empty label; type and class follow
        (kind,) = struct.unpack(">H", data[end - 4 : end - 2])
        addresses = self.addresses if kind == 1 else []
        header = data[:2] + struct.pack(">HHHHH", 0x8580, 1, len(addresses), 0, 0)
        records = b"".join(
            struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address) for address in addresses
        )
        assert self._transport is not None
        self._transport.sendto(header + data[12:end] + records, addr)


@asynccontextmanager
async def name_server(*addresses: str) -> AsyncIterator[NameServer]:
    """A name server on a free port of this machine."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    server.addresses = list(addresses)
    try:
        yield server
    finally:
        transport.close()
