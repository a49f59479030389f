"""A Weaviate for the suites, at the address in the environment."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.servers.addresses import address_of

from chassis.endpoints import WeaviateEndpoint
from corpus.adapters.weaviate import WeaviateConnection, WeaviateVectorIndex, open_weaviate
from corpus.adapters.weaviate.registry import Registry


def endpoint_of_test() -> WeaviateEndpoint:
    """The server, under a prefix of its own."""
    http, grpc = address_of("weaviate").split(",")
    return WeaviateEndpoint(http=http, grpc=grpc, prefix=f"T{uuid.uuid4().hex[:12]}")


@asynccontextmanager
async def connected(endpoint: WeaviateEndpoint) -> AsyncIterator[WeaviateConnection]:
    """A connection; at the end every collection of the installation is dropped."""
    connection = await open_weaviate(endpoint)
    try:
        yield connection
    finally:
        for found in await Registry(connection).definitions():
            await connection.request("DELETE", f"/schema/{found['class']}")
        await connection.close()


@asynccontextmanager
async def opened_weaviate() -> AsyncIterator[tuple[WeaviateVectorIndex, WeaviateVectorIndex]]:
    """(writer, reader), each with a connection and a memory of its own, as two processes have them."""
    endpoint = endpoint_of_test()
    async with connected(endpoint) as first:
        second = await open_weaviate(endpoint)
        try:
            yield WeaviateVectorIndex(first), WeaviateVectorIndex(second)
        finally:
            await second.close()
