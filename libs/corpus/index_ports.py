"""Ports of the two indexes; ``corpus.ports`` has the nouns and the rules for every method, and names these as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from corpus.domain import AccessPolicy, Candidate, IndexedRow, LexicalRow, VectorRow
from corpus.filters import Filter

SCAN_PAGE = 2_000
"""Most rows of one page of a scan: half a megabyte."""

MayBeShown = Callable[[Collection[tuple[str, int]]], Awaitable[Collection[tuple[str, int]]]]
"""Those of these (document id, chunks_version) of which whoever asks may be shown chunks now. Indexes don't see heads;
who has them says it."""


@dataclass(frozen=True, slots=True)
class Prefilter:
    """What a candidate must satisfy before it is ranked.

    Attributes:
        tenant_id: Only this tenant's rows.
        access_tokens: A row needs at least one of these.
        clearance: A row's security level must not exceed this.
        filter: Validated metadata filter, or None.
    """

    tenant_id: str
    access_tokens: frozenset[str]
    clearance: int
    filter: Filter | None = None


class Index(Protocol):
    """What both indexes do with their rows, whatever ranks them."""

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None:
        """Replaces the access policy of the rows; unknown ids are ignored. Idempotent."""
        ...

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        """Removes rows; unknown ids are ignored. Idempotent."""
        ...

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        """chunk_id → chunks_version of every row, for audits."""
        ...

    def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """Every row, in no particular order and in pages of at most ``SCAN_PAGE``. A row that is there from the first
        page to the last comes at least once; one that is written meanwhile may come twice, one that is written or
        removed meanwhile may be left out. No write waits for a scan. Nothing for a tenant or generation without
        rows."""
        ...

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """The rows with these ids as of now, whatever the stated refresh time is; unknown ids are left out, and an id
        that the store holds twice comes twice."""
        ...

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        """Removes the tenant's rows in every generation, or only in the one that is named. Idempotent."""
        ...


class VectorIndex(Index, Protocol):
    """Cosine similarity over chunk vectors, exact or approximate."""

    async def write(self, generation: str, rows: Sequence[VectorRow]) -> None:
        """Inserts or replaces rows by (tenant, chunk_id). All or nothing per call as far as the engine can; a
        repeated call leaves the same rows. Raises InvalidRequest BAD_VECTOR for NaN, infinity or a wrong dimension,
        and then writes none of the rows."""
        ...

    async def search(
        self, generation: str, vectors: NDArray[np.float32], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """For each of the (n, d) float32 L2-normalised query vectors the k rows of greatest cosine similarity that
        satisfy the prefilter, best first, ties by chunk_id; fewer when there are fewer. Does not see
        heads. A tenant or generation without rows gives empty lists."""
        ...

    async def vectors_of(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """(d,) float32 vectors by chunk id, as they were written; unknown ids are left out, and so is everything of a
        tenant or generation without rows. Knows nothing of access: callers check heads first, and never pass a vector
        on."""
        ...


class LexicalIndex(Index, Protocol):
    """BM25 (k1 = 1.2, b = 0.75) over analysed terms, weighted per field."""

    async def write(self, generation: str, rows: Sequence[LexicalRow]) -> None:
        """Inserts or replaces rows by (tenant, chunk_id). A repeated call leaves the same rows."""
        ...

    async def search(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """For each query (terms from ``corpus.analysis``) the k best rows that contain at least one of its terms and
        satisfy the prefilter, best first, ties by chunk_id. The prefilter adds nothing to a score. A query without
        terms, and a tenant or generation without rows, give empty lists."""
        ...

    async def linked(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter, shown: MayBeShown
    ) -> Sequence[Sequence[Candidate]]:
        """For each query the k best rows, and 64 at most, that its best rows lead to: which bear a name that one of
        the ten best rows for the query's terms mentions, in another document and without bearing it itself. Both ends
        of a link satisfy the prefilter, and ``shown`` allows both: what it forbids (rows of documents that are deleted,
        on hold or have newer versions) leads nowhere, is not found, and counts for no score. A score, in (0, 1], is
        that of the best link: BM25 of the row that mentions, relative to the best one, by the number of documents that
        bear the name; a name that more than eight bear leads nowhere. Best first, ties by chunk_id. Rows that were
        written without names or mentions have no links."""
        ...
