"""VectorIndex in memory, for tests and simulation: a loop over all rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chassis.errors import InvalidRequest
from corpus.adapters.memory.rows import RowTable
from corpus.domain import AccessPolicy, Candidate, IndexedRow, VectorRow
from corpus.ports import Prefilter


class MemoryVectorIndex:
    """Reads like the port's docstrings. One process only."""

    def __init__(self) -> None:
        self._rows = RowTable[VectorRow]()
        self._dimensions: dict[tuple[str, str], int] = {}

    async def write(self, generation: str, rows: Sequence[VectorRow]) -> None:
        """See ``VectorIndex.write``."""
        dimensions = {row.vector.shape for row in rows}
        known = {(self._dimensions.get((generation, row.key.tenant_id)) or row.vector.shape[-1],) for row in rows}
        if len(dimensions | known) > 1 or not all(np.isfinite(row.vector).all() for row in rows):
            raise InvalidRequest("Vectors must be finite and have the dimension of the index.", reason="BAD_VECTOR")
        for row in rows:
            self._dimensions[generation, row.key.tenant_id] = row.vector.shape[0]
        self._rows.put(generation, rows)

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None:
        """See ``VectorIndex.set_access``."""
        self._rows.set_access(generation, tenant_id, chunk_ids, access)

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        """See ``VectorIndex.delete``."""
        self._rows.delete(generation, tenant_id, chunk_ids)

    async def search(
        self, generation: str, vectors: NDArray[np.float32], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """See ``VectorIndex.search``."""
        rows = list(self._rows.readable(generation, prefilter))
        return [self._best(query, rows, k) for query in vectors]

    async def vectors_of(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """See ``VectorIndex.vectors_of``."""
        wanted = set(chunk_ids)
        return {row.chunk_id: row.vector for row in self._rows.all(generation, tenant_id) if row.chunk_id in wanted}

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        """See ``VectorIndex.chunk_ids``."""
        return self._rows.chunk_ids(generation, tenant_id)

    async def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """See ``VectorIndex.scan``."""
        for page in self._rows.scan(generation, tenant_id):
            yield page

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """See ``VectorIndex.look_up``."""
        return self._rows.look_up(generation, tenant_id, chunk_ids)

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        """See ``VectorIndex.drop_tenant``."""
        self._rows.drop_tenant(tenant_id, generation)
        self._dimensions = {
            place: size
            for place, size in self._dimensions.items()
            if place[1] != tenant_id or generation not in (None, place[0])
        }

    def _best(self, query: NDArray[np.float32], rows: Sequence[VectorRow], k: int) -> Sequence[Candidate]:
        if rows and len(query) != len(rows[0].vector):
            raise InvalidRequest("The query vector has another dimension than the index.", reason="BAD_VECTOR")
        scored = [
            Candidate(row.chunk_id, row.key.document_id, row.chunks_version, float((row.vector * query).sum()))
            for row in rows
        ]
        return sorted(scored, key=lambda candidate: (-candidate.score, candidate.chunk_id))[:k]
