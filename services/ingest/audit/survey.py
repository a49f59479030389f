"""Looking for documents that may differ, at the cost of one pass over each store.

1. Heads and the chunk store, side by side, give what the indexes should hold: a digest per bucket of documents.
2. Each index is scanned once; buckets whose digests agree are done with.
3. Buckets that differ, or that hold superseded rows (whose access nobody states), are listed row by row.

What comes out are suspects, not differences: nothing is locked, so whatever changes meanwhile looks different too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from chassis.clock import Clock
from corpus.access import policy_fingerprint
from corpus.domain import IndexedRow
from corpus.ports import ChunkStore, Generations, Heads, LexicalIndex, VectorIndex
from ingest.audit.differences import INDEXES, StoreName, Suspect
from ingest.audit.digests import BucketDigests, bucket_of, buckets_for, row_hash
from ingest.audit.expected import DocumentState, document_pages, named_in, superseded_for_good

ROWS_LISTED_AT_ONCE = 200_000
"""Of all stores together: about 60 MB."""
MOST_SUSPECT_ROWS = 100_000
"""After which no more buckets are listed: about 50 MB. An index may be lost as a whole."""


@dataclass(slots=True)
class Pace:
    """Bounds how many rows a second are read. 0: as fast as it goes."""

    rows_per_second: float = 0.0

    async def spent(self, rows: int) -> None:
        """Waits as long as so many rows may take."""
        await asyncio.sleep(rows / self.rows_per_second if self.rows_per_second else 0)


@dataclass(slots=True)
class Surveyed:
    """What a survey saw."""

    buckets: int
    generation: str
    """That is searched, "" before the first."""
    documents: int = 0
    listed: int = 0
    unlisted: int = 0
    """Buckets that differ, left to another audit."""
    suspect_rows: int = 0
    rows: dict[StoreName, int] = field(default_factory=lambda: dict.fromkeys((*INDEXES, StoreName.CHUNKS), 0))
    suspects: dict[str, Suspect] = field(default_factory=dict)

    def suspect(self, document_id: str) -> Suspect:
        """The suspect with this id, made if need be."""
        return self.suspects.setdefault(document_id, Suspect(document_id))

    def suspect_row(self, document_id: str, store: StoreName, generation: str, chunk_id: str) -> None:
        """Notes a row to be looked at again."""
        self.suspect_rows += 1
        self.suspect(document_id).add_row(store, generation, chunk_id)


@dataclass(slots=True)
class _Side:
    """One generation: digests of what should be there, and of what is there in each index."""

    expected: BucketDigests
    found: dict[StoreName, BucketDigests]
    open: set[int] = field(default_factory=set)
    """Buckets that hold superseded rows."""

    def unsettled(self) -> set[int]:
        """Buckets to be listed."""
        return self.open.union(*(self.expected.differing(digests) for digests in self.found.values()))


@dataclass(frozen=True, slots=True)
class SurveyStores:
    """Finds suspects. Reads only."""

    heads: Heads
    chunks: ChunkStore
    vectors: VectorIndex
    lexical: LexicalIndex
    generations: Generations
    clock: Clock
    grace_seconds: float
    rows_listed_at_once: int = ROWS_LISTED_AT_ONCE
    most_suspect_rows: int = MOST_SUSPECT_ROWS

    def scan(self, store: StoreName, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """Every row of one of the indexes."""
        index = self.vectors if store is StoreName.VECTOR else self.lexical
        return index.scan(generation, tenant_id)

    async def survey(self, tenant_id: str, pace: Pace) -> Surveyed:
        """One tenant, in the generation that is searched. Raises DependencyUnavailable when a store can't be read."""
        active = await self.generations.active()
        generation = active.name if active else ""
        seen = Surveyed(buckets_for((await self.heads.counts(tenant_id)).chunks), generation)
        side = await self._side(tenant_id, seen, pace)
        for store, digests in side.found.items():
            async for page in self.scan(store, generation, tenant_id):
                seen.rows[store] += len(page)
                await asyncio.to_thread(_add, page, digests)
                await pace.spent(len(page))
        for group in _groups(side, self.rows_listed_at_once):
            if seen.suspect_rows >= self.most_suspect_rows:
                seen.unlisted += len(group)
                continue
            seen.listed += len(group)
            await self._list(tenant_id, generation, group, seen, pace)
        return seen

    async def _side(self, tenant_id: str, seen: Surveyed, pace: Pace) -> _Side:
        found = {store: BucketDigests(seen.buckets) for store in INDEXES}
        side = _Side(BucketDigests(seen.buckets), found)
        async for page in document_pages(self.heads, self.chunks, tenant_id):
            # Hundreds of documents of any size: deriving their ids takes longer than changes should wait.
            await asyncio.to_thread(self._take_in, page, side, seen)
            seen.documents += len(page)
            rows = sum(len(state.stored) for state in page)
            seen.rows[StoreName.CHUNKS] += rows
            await pace.spent(len(page) + rows)
        return side

    def _take_in(self, page: Sequence[DocumentState], side: _Side, seen: Surveyed) -> None:
        for state in page:
            bucket = bucket_of(state.document_id, seen.buckets)
            for hashed in _expected(state, seen, self._past(state)):
                side.expected.add(bucket, hashed)
            if any(
                row.generation == seen.generation
                and (state.live is None or row.chunks_version != state.live.chunks_version)
                for row in state.stored
            ):
                side.open.add(bucket)

    async def _list(self, tenant_id: str, generation: str, wanted: set[int], seen: Surveyed, pace: Pace) -> None:
        """Row by row, the buckets ``wanted``."""
        expected: dict[str, tuple[str, int]] = {}
        superseded: set[str] = set()
        async for states in document_pages(self.heads, self.chunks, tenant_id):
            listed = [state for state in states if bucket_of(state.document_id, seen.buckets) in wanted]
            for state in listed:
                superseded |= {row.chunk_id for row in state.stored if row.generation == generation}
            expected |= await asyncio.to_thread(_named_rows_of, listed, generation)
            await pace.spent(len(states))
        for store in INDEXES:
            there: set[str] = set()
            async for page in self.scan(store, generation, tenant_id):
                for row, hashed in await asyncio.to_thread(_hashed, page, wanted, seen.buckets):
                    known = expected.get(row.chunk_id)
                    fits = known == (row.document_id, hashed) if known else row.chunk_id in superseded
                    if not fits or row.chunk_id in there:
                        seen.suspect_row(row.document_id, store, generation, row.chunk_id)
                    there.add(row.chunk_id)
                await pace.spent(len(page))
            for chunk_id in expected.keys() - there:
                seen.suspect_row(expected[chunk_id][0], store, generation, chunk_id)

    def _past(self, state: DocumentState) -> set[tuple[int, str]]:
        return superseded_for_good(state, self.clock.now(), timedelta(seconds=self.grace_seconds))


def _expected(state: DocumentState, seen: Surveyed, past: set[tuple[int, str]]) -> Iterable[int]:
    """Hashes of the rows that the document's head names. Notes what differs here already."""
    if past:
        seen.suspect(state.document_id).versions |= past
    head = state.live
    if head is None or not seen.generation:
        return ()
    stored = {
        row.chunk_id
        for row in state.stored
        if row.chunks_version == head.chunks_version and row.generation == seen.generation
    }
    named = _named_rows(state, seen.generation)
    # A document has a chunk at least: without any, the generation that is searched lacks it.
    if not stored or named.keys() != stored:
        seen.suspect(state.document_id)
    return [hashed for _, hashed in named.values()]


def _add(page: Sequence[IndexedRow], digests: BucketDigests) -> None:
    for row in page:
        digests.add(bucket_of(row.document_id, digests.buckets), row_hash(*row))


def _hashed(page: Sequence[IndexedRow], wanted: set[int], buckets: int) -> Sequence[tuple[IndexedRow, int]]:
    """Rows of the wanted buckets, each with its hash."""
    return [(row, row_hash(*row)) for row in page if bucket_of(row.document_id, buckets) in wanted]


def _named_rows_of(states: Sequence[DocumentState], generation: str) -> Mapping[str, tuple[str, int]]:
    return {chunk_id: row for state in states for chunk_id, row in _named_rows(state, generation).items()}


def _named_rows(state: DocumentState, generation: str) -> Mapping[str, tuple[str, int]]:
    """chunk_id → (document, hash of the row as it should be)."""
    head = state.live
    if head is None:
        return {}
    contents = {row.chunk_id: row.content_sha256 for row in state.stored}
    access = policy_fingerprint(head.access)
    return {
        each: (
            state.document_id,
            row_hash(each, state.document_id, head.chunks_version, contents.get(each, ""), access),
        )
        for each in named_in(head, generation, state.stored)
    }


def _groups(side: _Side, most_rows: int) -> Iterable[set[int]]:
    """Buckets to be listed, in groups whose rows fit into memory."""
    group: set[int] = set()
    rows = 0
    for bucket in sorted(side.unsettled()):
        size = side.expected.rows[bucket] + sum(digests.rows[bucket] for digests in side.found.values())
        if group and rows + size > most_rows:
            yield group
            group, rows = set(), 0
        group.add(bucket)
        rows += size
    if group:
        yield group
