"""The network between the services and the stores: a proxy before each store, for all services."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.faults.proxy import FaultProxy

T = TypeVar("T")

FAULTS: Mapping[str, Callable[[FaultProxy], None]] = {
    "reset": lambda proxy: proxy.reset(stay=True),
    "black hole": lambda proxy: proxy.black_hole(),
    "half open": lambda proxy: proxy.half_open(),
    "slow": lambda proxy: proxy.delay(0.3),
    "cut": lambda proxy: proxy.reset(),
}
"""By name; "cut" is over at once, the others last until the heal."""

STORES = ("kafka", "elasticsearch", "weaviate", "redis", "s3")


@dataclass
class Wire:
    """Opens proxies and does things to them, from any thread; they run on a loop of their own."""

    injected: Counter[str] = field(default_factory=Counter)
    _stores: dict[str, list[FaultProxy]] = field(default_factory=dict)
    _all: list[FaultProxy] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Before anything else."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends every connection."""
        for proxy in reversed(self._all):
            self._run(proxy.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()
        self._loop.close()

    def open(self, address: str) -> FaultProxy:
        """A proxy before ``host:port``."""
        host, _, port = address.rpartition(":")
        proxy: FaultProxy = self._run(FaultProxy(host, int(port)).__aenter__())
        self._all.append(proxy)
        return proxy

    def before(self, store: str, address: str) -> str:
        """The address of a proxy before one of a store's addresses; ``host:port`` or a URL, as it came."""
        parts = urlsplit(address) if "//" in address else None
        proxy = self.open(parts.netloc if parts else address)
        self.stand_before(store, proxy)
        own = f"127.0.0.1:{proxy.port}"
        return parts._replace(netloc=own).geturl() if parts else own

    def stand_before(self, store: str, proxy: FaultProxy) -> None:
        """Faults of the store are this proxy's as well."""
        self._stores.setdefault(store, []).append(proxy)

    @property
    def stores(self) -> list[str]:
        """What can be cut off."""
        return [store for store in STORES if store in self._stores]

    def inject(self, fault: str, store: str) -> None:
        """The fault, at every proxy of the store."""
        self.injected[f"{fault} {store}"] += 1
        self.do(lambda: [FAULTS[fault](proxy) for proxy in self._stores[store]])

    def heal(self) -> None:
        """Ends what lasts, everywhere."""
        self.do(self._heal)

    def _heal(self) -> None:
        for proxy in self._all:
            proxy.heal()

    def do(self, what: Callable[[], T]) -> T:
        """In the proxies' own loop."""

        async def done() -> T:
            return what()

        return self._run(done())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
