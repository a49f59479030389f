"""Elasticsearch as an adapter sees it when its process dies, or when another one gets in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from elastic_transport import AsyncTransport, ConnectionError
from elasticsearch import AsyncElasticsearch

from chassis.elasticsearch.client import Store

ItemsApplied = Callable[[int], Collection[int]]
"""Number of a bulk request's items → which of them the server applies before the connection is lost."""


def none_applied(items: int) -> Collection[int]:
    """The request never arrived."""
    return ()


def all_applied(items: int) -> Collection[int]:
    """Only the answer was lost."""
    return range(items)


def first_half_applied(items: int) -> Collection[int]:
    """The server was stopped in the middle."""
    return range(items // 2)


def second_half_applied(items: int) -> Collection[int]:
    """As the first half, where the items belong to two shards."""
    return range(items // 2, items)


class FaultyTransport(AsyncTransport):
    """Counts requests, and does to one of them what a test wants.

    Attributes:
        requests: How many there were since the fault was set.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.requests = 0
        self._at: int | None = None
        self._applied: ItemsApplied = all_applied
        self._meanwhile: Callable[[], Awaitable[None]] | None = None

    def fail_at(self, request: int, applied: ItemsApplied) -> None:
        """The request with this number (from 0), and all after it, end with a lost connection."""
        self.requests, self._at, self._applied, self._meanwhile = 0, request, applied, None

    def interrupt_at(self, request: int, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Before the request with this number is sent, something else happens."""
        self.requests, self._at, self._meanwhile = 0, request, meanwhile

    async def perform_request(self, method: str, target: str, *, body: Any = None, **options: Any) -> Any:
        number = self.requests
        self.requests += 1
        if self._at is not None and self._meanwhile is not None and number == self._at:
            await self._meanwhile()
        if self._at is None or self._meanwhile is not None or number < self._at:
            return await super().perform_request(method, target, body=body, **options)
        if number == self._at:
            if target.startswith("/_bulk"):
                body = _only(body, self._applied)
            if body or not target.startswith("/_bulk"):
                await super().perform_request(method, target, body=body, **options)
        raise ConnectionError("the connection was lost")


def _only(body: list[Any], applied: ItemsApplied) -> list[Any]:
    items: list[list[Any]] = []
    for part in body:
        # An action is a mapping; its document, if it has one, comes as bytes.
        if isinstance(part, bytes):
            items[-1].append(part)
        else:
            items.append([part])
    return [part for index in applied(len(items)) for part in items[index]]


@asynccontextmanager
async def faulty(store: Store) -> AsyncIterator[tuple[Store, FaultyTransport]]:
    """One more connection of the same installation, and what does damage to it."""
    client = AsyncElasticsearch(
        store.endpoint.url, transport_class=FaultyTransport, max_retries=0, retry_on_timeout=False, request_timeout=30
    )
    transport = client.transport
    assert isinstance(transport, FaultyTransport)
    try:
        yield Store(client, store.endpoint), transport
    finally:
        await client.close()
