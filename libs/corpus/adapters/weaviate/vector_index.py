"""VectorIndex over Weaviate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as AnyCollection
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from weaviate.proto.v1 import (
    base_pb2,
    base_search_pb2,
    batch_delete_pb2,
    search_get_pb2,
)

from chassis.errors import InvalidRequest
from corpus.adapters.weaviate import facets, objects, schema
from corpus.adapters.weaviate.connection import NoSuchPlace, WeaviateConnection, unavailable
from corpus.adapters.weaviate.registry import Registry
from corpus.adapters.weaviate.schema import Collection
from corpus.domain import AccessPolicy, Candidate, IndexedRow, VectorRow
from corpus.generations import validate_generation_name
from corpus.ids import validate_tenant_id
from corpus.ports import Prefilter

T = TypeVar("T")

MAX_RESULTS: Final = 10_000
"""Most results of one search: the server's own default limit."""

_SEARCHES_AT_ONCE: Final = 8
_ROWS_AT_ONCE: Final = 500
_IDS_AT_ONCE: Final = 2_000
_PAGE: Final = 2_000
_RETURNED = search_get_pb2.PropertiesRequest(
    non_ref_properties=[schema.CHUNK_ID, schema.DOCUMENT_ID, schema.CHUNKS_VERSION]
)
_AUDITED = search_get_pb2.PropertiesRequest(non_ref_properties=objects.AUDITED)
_LISTED = search_get_pb2.PropertiesRequest(non_ref_properties=[schema.CHUNK_ID, schema.CHUNKS_VERSION])


class WeaviateVectorIndex:
    """One multi-tenant collection per generation; tenants are the server's own, so no query reaches another's rows.

    A write that returned is visible at once: the server indexes before it answers (asynchronous indexing must be off,
    as it is by default). With several replicas a write is on most of them then, and a search, which asks one, may
    miss it until the last has it. Approximate for more readable rows than ``flatSearchCutoff``, exact below;
    docs/vector-index.md has the measurements. A call that raised may have been applied in part.
    """

    def __init__(self, connection: WeaviateConnection) -> None:
        self._connection = connection
        self._registry = Registry(connection)
        self._searches = asyncio.Semaphore(_SEARCHES_AT_ONCE)

    async def write(self, generation: str, rows: Sequence[VectorRow]) -> None:
        """See ``VectorIndex.write``."""
        validate_generation_name(generation)
        latest = {(row.key.tenant_id, row.chunk_id): row for row in rows}
        if not latest:
            return
        tenants = {validate_tenant_id(tenant) for tenant, _ in latest}
        dimensions = _checked_dimensions(rows)
        slots = max(facets.slots_needed(row.metadata) for row in latest.values())
        for _ in range(2):
            collection = await self._registry.ensure(generation, dimensions, slots)
            if collection.dimensions != dimensions:
                raise _bad_vector()
            await self._registry.ensure_tenants(collection, tenants)
            written = [objects.batch_object(collection, row) for row in latest.values()]
            try:
                for part in objects.parts(written):
                    await self._connection.write(part)
                return
            except NoSuchPlace:
                # Another process dropped the tenant or the collection: as if it had never been there.
                self._registry.forget(generation)
        raise unavailable()

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: AnyCollection[str], access: AccessPolicy
    ) -> None:
        """See ``VectorIndex.set_access``."""
        collection = await self._collection(generation, tenant_id)
        if collection is None:
            return
        for part in _parts_of_ids(chunk_ids, _ROWS_AT_ONCE):
            # Read and written again in batches: a patch of each object takes five times as long. Between the two a
            # delete may slip in, as it may before a late write; what comes back is an orphan that no head names.
            request = search_get_pb2.SearchRequest(
                collection=collection.name,
                tenant=tenant_id,
                limit=len(part),
                filters=facets.contains_any("_id", part),
                properties=search_get_pb2.PropertiesRequest(return_all_nonref_properties=True),
                metadata=search_get_pb2.MetadataRequest(uuid=True, vector=True),
                uses_127_api=True,
            )
            try:
                found = await self._connection.search(request)
                changed = [objects.with_access(collection, tenant_id, each, access) for each in found]
                for batch in objects.parts(changed):
                    await self._connection.write(batch)
            except NoSuchPlace:
                return

    async def delete(self, generation: str, tenant_id: str, chunk_ids: AnyCollection[str]) -> None:
        """See ``VectorIndex.delete``."""
        collection = await self._collection(generation, tenant_id)
        if collection is None:
            return
        for part in _parts_of_ids(chunk_ids, _IDS_AT_ONCE):
            request = batch_delete_pb2.BatchDeleteRequest(
                collection=collection.name,
                tenant=tenant_id,
                filters=facets.contains_any("_id", part),
                consistency_level=self._connection.write_consistency,
            )
            try:
                await self._connection.delete(request)
            except NoSuchPlace:
                return

    async def search(
        self, generation: str, vectors: NDArray[np.float32], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """See ``VectorIndex.search``. At most 10,000 rows per query."""
        nothing: Sequence[Sequence[Candidate]] = [[] for _ in vectors]
        collection = await self._collection(generation, prefilter.tenant_id)
        if collection is None or not nothing:
            return nothing
        if vectors.shape[1] != collection.dimensions or not np.isfinite(vectors).all():
            raise _bad_vector()
        if prefilter.filter is not None and facets.asks_slots(prefilter.filter.expression):
            # A writer may have added one since.
            collection = await self._registry.find(generation, fresh=True)
        slots = 0 if collection is None else collection.slots
        condition = facets.prefilter_condition(prefilter, slots)
        if collection is None or k < 1 or isinstance(condition, bool):
            return nothing
        place = _Place(collection.name, prefilter.tenant_id, condition)
        try:
            return await _all(self._best(place, each, min(k, MAX_RESULTS)) for each in vectors)
        except NoSuchPlace:
            self._registry.forget(generation)
            return nothing

    async def vectors_of(
        self, generation: str, tenant_id: str, chunk_ids: AnyCollection[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """See ``VectorIndex.vectors_of``."""
        collection = await self._collection(generation, tenant_id)
        vectors: dict[str, NDArray[np.float32]] = {}
        if collection is None:
            return vectors
        for part in _parts_of_ids(chunk_ids, _ROWS_AT_ONCE):
            request = search_get_pb2.SearchRequest(
                collection=collection.name,
                tenant=tenant_id,
                limit=len(part),
                filters=facets.contains_any("_id", part),
                properties=_LISTED,
                metadata=search_get_pb2.MetadataRequest(vector=True),
                uses_127_api=True,
            )
            try:
                found = await self._connection.search(request)
            except NoSuchPlace:
                return vectors
            vectors |= {objects.chunk_id(each): objects.vector(each) for each in found}
        return vectors

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        """See ``VectorIndex.chunk_ids``."""
        versions: dict[str, int] = {}
        async for page in self._pages(generation, tenant_id, _LISTED):
            for result in page:
                fields = result.properties.non_ref_props.fields
                versions[fields[schema.CHUNK_ID].text_value] = int(fields[schema.CHUNKS_VERSION].text_value)
        return versions

    async def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """See ``VectorIndex.scan``. In the order of the objects' ids, of which a row keeps its own."""
        async for page in self._pages(generation, tenant_id, _AUDITED):
            yield [objects.indexed_row(result) for result in page]

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: AnyCollection[str]) -> Sequence[IndexedRow]:
        """See ``VectorIndex.look_up``."""
        collection = await self._collection(generation, tenant_id)
        rows: list[IndexedRow] = []
        if collection is None:
            return rows
        for part in _parts_of_ids(chunk_ids, _IDS_AT_ONCE):
            request = search_get_pb2.SearchRequest(
                collection=collection.name,
                tenant=tenant_id,
                limit=len(part),
                filters=facets.contains_any("_id", part),
                properties=_AUDITED,
                uses_127_api=True,
            )
            try:
                rows += [objects.indexed_row(result) for result in await self._connection.search(request)]
            except NoSuchPlace:
                return rows
        return rows

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        """See ``VectorIndex.drop_tenant``. The collection of a generation stays, and costs little without tenants."""
        await self._registry.drop_tenant(validate_tenant_id(tenant_id), generation)

    async def differences(self) -> list[str]:
        """What of this installation's collections is not as expected, one sentence each."""
        return [problem for found in await self._registry.definitions() for problem in schema.differences(found)]

    async def _pages(
        self, generation: str, tenant_id: str, wanted: search_get_pb2.PropertiesRequest
    ) -> AsyncIterator[Sequence[Any]]:
        """Every object, page by page."""
        collection = await self._collection(generation, tenant_id)
        if collection is None:
            return
        request = search_get_pb2.SearchRequest(
            collection=collection.name,
            tenant=tenant_id,
            limit=_PAGE,
            properties=wanted,
            metadata=search_get_pb2.MetadataRequest(uuid=True),
            uses_127_api=True,
        )
        while True:
            try:
                page = await self._connection.search(request)
            except NoSuchPlace:
                return
            if page:
                yield page
            if len(page) < _PAGE:
                return
            request.after = page[-1].metadata.id

    async def _collection(self, generation: str, tenant_id: str) -> Collection | None:
        validate_generation_name(generation)
        validate_tenant_id(tenant_id)
        return await self._registry.find(generation)

    async def _best(self, place: _Place, vector: NDArray[np.float32], k: int) -> Sequence[Candidate]:
        """The k best; asks for more until rows that tie with the last of them have ended."""
        request = search_get_pb2.SearchRequest(
            collection=place.collection,
            tenant=place.tenant_id,
            filters=place.condition,
            near_vector=base_search_pb2.NearVector(
                vectors=[
                    base_pb2.Vectors(
                        vector_bytes=np.ascontiguousarray(vector, dtype="<f4").tobytes(),
                        type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32,
                    )
                ]
            ),
            properties=_RETURNED,
            metadata=search_get_pb2.MetadataRequest(distance=True),
            uses_127_api=True,
        )
        limit = min(k + 1, MAX_RESULTS)
        async with self._searches:
            while True:
                request.limit = limit
                results = await self._connection.search(request)
                last_distance = results[-1].metadata.distance if results else 0.0
                if len(results) < limit or limit == MAX_RESULTS or results[k - 1].metadata.distance < last_distance:
                    break
                limit = min(2 * limit, MAX_RESULTS)
        candidates = [objects.candidate(result) for result in results]
        return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.chunk_id))[:k]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search looks."""

    collection: str
    tenant_id: str
    condition: base_pb2.Filters


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order. The first error ends the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _parts_of_ids(chunk_ids: AnyCollection[str], size: int) -> Iterator[list[str]]:
    """Ids of the chunks' objects, so many at once."""
    wanted = iter(sorted({objects.object_id(chunk_id) for chunk_id in chunk_ids}))
    while part := list(islice(wanted, size)):
        yield part


def _checked_dimensions(rows: Sequence[VectorRow]) -> int:
    shapes = {row.vector.shape for row in rows}
    if len(shapes) > 1 or not all(np.isfinite(row.vector).all() for row in rows):
        raise _bad_vector()
    return int(rows[0].vector.shape[0])


def _bad_vector() -> InvalidRequest:
    return InvalidRequest("Vectors must be finite and have the dimension of the index.", reason="BAD_VECTOR")
