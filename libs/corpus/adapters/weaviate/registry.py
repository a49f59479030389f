"""Which collections and tenants are there: looked up once, created when a write needs them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection as AnyCollection
from typing import Any

from chassis.errors import FailedPrecondition
from corpus.adapters.weaviate import schema
from corpus.adapters.weaviate.connection import NoSuchPlace, WeaviateConnection
from corpus.adapters.weaviate.schema import Collection

# The server says "already exists", and "conflict" where two requests meet, under this status.
_REFUSED = frozenset({409, 422})


class Registry:
    """Collections of one installation. What was seen is remembered until ``forget``: a collection that another process
    removes shows as NoSuchPlace at the next call that needs it."""

    def __init__(self, connection: WeaviateConnection) -> None:
        self._connection = connection
        self._known: dict[str, Collection] = {}
        self._tenants: defaultdict[str, set[str]] = defaultdict(set)
        self._changing = asyncio.Lock()

    async def find(self, generation: str, *, fresh: bool = False) -> Collection | None:
        """The generation's collection, None if there is none.

        Raises FailedPrecondition COLLECTION_MISMATCH when it is not as expected.
        """
        known = None if fresh else self._known.get(generation)
        if known is not None:
            return known
        name = schema.collection_name(self._connection.endpoint, generation)
        try:
            found = (await self._connection.request("GET", f"/schema/{name}")).json()
        except NoSuchPlace:
            self.forget(generation)
            return None
        return self._remember(generation, found)

    async def ensure(self, generation: str, dimensions: int, slots: int) -> Collection:
        """The generation's collection, with at least this many slots; created for vectors of these dimensions if it is
        not there. One that is there keeps its own."""
        known = self._known.get(generation)
        if known is not None and known.slots >= slots:
            return known
        async with self._changing:
            collection = await self.find(generation, fresh=True)
            if collection is None:
                definition = schema.definition(self._connection.endpoint, generation, dimensions)
                await self._connection.request("POST", "/schema", body=definition, accept=_REFUSED)
                collection = await self._there(generation)
            for place in range(collection.slots, slots):
                path = f"/schema/{collection.name}/properties"
                await self._connection.request("POST", path, body=schema.slot(place).definition(), accept=_REFUSED)
            return collection if collection.slots >= slots else await self._there(generation)

    async def ensure_tenants(self, collection: Collection, tenants: AnyCollection[str]) -> None:
        """Creates the tenants that are not known to be there."""
        missing = sorted(set(tenants) - self._tenants[collection.generation])
        if missing:
            path = f"/schema/{collection.name}/tenants"
            await self._connection.request("POST", path, body=[{"name": tenant} for tenant in missing])
            self._tenants[collection.generation].update(missing)

    async def drop_tenant(self, tenant: str, generation: str | None = None) -> None:
        """Removes a tenant with its rows from every collection, or from that of one generation."""
        if generation is None:
            names = [str(found["class"]) for found in await self.definitions()]
        else:
            names = [schema.collection_name(self._connection.endpoint, generation)]
        for name in names:
            try:
                await self._connection.request("DELETE", f"/schema/{name}/tenants", body=[tenant])
            except NoSuchPlace:
                continue
        for made, tenants in self._tenants.items():
            if generation in (None, made):
                tenants.discard(tenant)

    async def definitions(self) -> list[dict[str, Any]]:
        """Every collection of this installation, as the server describes it."""
        found = (await self._connection.request("GET", "/schema")).json()
        endpoint = self._connection.endpoint
        return [each for each in found.get("classes") or () if schema.is_collection_of(endpoint, each["class"])]

    def forget(self, generation: str) -> None:
        """Looks the collection and its tenants up again at the next call."""
        self._known.pop(generation, None)
        self._tenants.pop(generation, None)

    async def _there(self, generation: str) -> Collection:
        collection = await self.find(generation, fresh=True)
        if collection is None:
            raise FailedPrecondition(
                "Weaviate refuses to create a collection; check its limits and this service's permissions.",
                reason="COLLECTION_REFUSED",
            )
        return collection

    def _remember(self, generation: str, found: dict[str, Any]) -> Collection:
        problems = schema.differences(found)
        collection = schema.read(found)
        if problems or collection is None:
            raise FailedPrecondition(
                f"{problems[0]} Drop the collection and ingest again, or give this installation another prefix.",
                reason="COLLECTION_MISMATCH",
            )
        self._known[generation] = collection
        return collection
