"""The servers of the cluster profile, at addresses that pods reach."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import elasticsearch, kafka, redis, s3, weaviate
from tests.servers.addresses import VARIABLES

_STARTS = {"elasticsearch": elasticsearch.start, "redis": redis.start, "s3": s3.start, "weaviate": weaviate.start}


@dataclass(frozen=True)
class Engines:
    """Addresses as pods use them: ``host:port`` each."""

    host: str
    kafka: str
    elasticsearch: str
    weaviate_http: str
    weaviate_grpc: str
    redis: str
    s3: str


def this_host() -> str:
    """Address of this machine that pods reach: ``HOST``, or that of the default route."""
    if os.environ.get("HOST"):
        return os.environ["HOST"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: connecting a datagram socket only chooses the route.
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Engines]:
    """Starts what no variable names; stops it again."""
    host = this_host()
    with contextlib.ExitStack() as stack:
        forwarder = stack.enter_context(Forwarder(host))
        found = {name: os.environ.get(variable, "") for name, variable in VARIABLES.items()}
        for name, start in _STARTS.items():
            if not found[name]:
                place = folder / name
                place.mkdir(parents=True, exist_ok=True)
                server = start(place)
                stack.callback(server.stop)
                found[name] = server.address
        if not found["kafka"]:
            broker = kafka.start(folder / "kafka", host=host)
            stack.callback(broker.stop)
            found["kafka"] = broker.address
        http, grpc = (forwarder.reachable(address) for address in found["weaviate"].split(","))
        yield Engines(
            host=host,
            kafka=found["kafka"],  # it tells clients its address itself, so it can't stand behind another one
            elasticsearch=forwarder.reachable(found["elasticsearch"]),
            weaviate_http=http,
            weaviate_grpc=grpc,
            redis=forwarder.reachable(found["redis"]),
            s3=forwarder.reachable(found["s3"]),
        )


class Forwarder:
    """Lets pods reach servers that listen on this machine's loopback only."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Forwarder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def reachable(self, address: str) -> str:
        """``host:port`` that leads to an address or URL; itself where that is not loopback."""
        parts = urlsplit(address if "//" in address else f"//{address}")
        host, port = parts.hostname or "", parts.port or 80
        if host not in ("127.0.0.1", "localhost", "::1"):
            return f"{host}:{port}"
        return asyncio.run_coroutine_threadsafe(self._listen(port), self._loop).result(10)

    async def _listen(self, port: int) -> str:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))

        server = await asyncio.start_server(connected, self._host, 0)
        return f"{self._host}:{server.sockets[0].getsockname()[1]}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
