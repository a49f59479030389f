"""What really differs of suspects.

A difference counts only if the document stood still while it was looked at: no change of it was pending before or
after, and its head was the same before and after. A worker writes rows only for a change that the ledger has as
pending, and says that it is finished only after the last row is as the head says; a sweep removes only what no head
names. So whatever is missing or different then is so because something went wrong, not because something is under way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from corpus.access import policy_fingerprint
from corpus.domain import ChangeState, DocumentKey, Head, HeadState, IndexedRow, StoredRow
from corpus.ports import ChangeLedger, ChunkStore, Generations, Heads, LexicalIndex, VectorIndex
from ingest.audit.differences import INDEXES, Difference, DifferenceKind, StoreName, Suspect
from ingest.audit.expected import is_named, named_in

DOCUMENTS_AT_ONCE = 50
IDS_AT_ONCE = 1_000
MOST_PENDING = 10_000
_NEWEST = 20

_Rows = Mapping[tuple[StoreName, str], Mapping[str, Sequence[IndexedRow]]]
"""(index, generation) → chunk id → rows."""


@dataclass(slots=True)
class Examined:
    """Confirmed differences, and documents of which nothing can be said because they are changing."""

    differences: list[Difference] = field(default_factory=list)
    unsettled: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ExamineDocuments:
    """Reads only. Raises DependencyUnavailable when a store can't be read."""

    heads: Heads
    ledger: ChangeLedger
    chunks: ChunkStore
    vectors: VectorIndex
    lexical: LexicalIndex
    generations: Generations

    async def examine(self, tenant_id: str, generation: str, suspects: Mapping[str, Suspect]) -> Examined:
        """Looks at the suspects' rows as they are now, in the generation that is searched. Should another one be
        promoted meanwhile, nothing is said of any."""
        examined = Examined()
        ids = sorted(suspects)
        for start in range(0, len(ids), DOCUMENTS_AT_ONCE):
            part = [suspects[each] for each in ids[start : start + DOCUMENTS_AT_ONCE]]
            await self._examine(tenant_id, generation, part, examined)
        active = await self.generations.active()
        if (active.name if active else "") != generation:
            return Examined(unsettled=set(suspects))
        return examined

    async def _examine(self, tenant_id: str, generation: str, suspects: Sequence[Suspect], examined: Examined) -> None:
        ids = [suspect.document_id for suspect in suspects]
        pending = await self._pending(tenant_id, ids)
        heads = await self.heads.get_many(tenant_id, ids)
        versions = {each: await self.chunks.versions_of(DocumentKey(tenant_id, each)) for each in ids}
        stored: dict[str, list[StoredRow]] = defaultdict(list)
        wanted = [(each, number, made) for each, known in versions.items() for number, made in known]
        for stored_row in await self.chunks.rows_of(tenant_id, wanted):
            stored[stored_row.document_id].append(stored_row)
        rows = await self._rows(tenant_id, generation, suspects, heads, stored)
        again = await self.heads.get_many(tenant_id, ids)
        pending |= await self._pending(tenant_id, ids)
        for suspect in suspects:
            document_id = suspect.document_id
            head = heads.get(document_id)
            if document_id in pending or head != again.get(document_id):
                examined.unsettled.add(document_id)
                continue
            seen = _Seen(tenant_id, generation, suspect, head, versions[document_id], stored[document_id], rows)
            examined.differences += seen.differences()

    async def _pending(self, tenant_id: str, document_ids: Collection[str]) -> set[str]:
        """Those of the documents that a change is under way for."""
        oldest = await self.ledger.oldest_pending(tenant_id, MOST_PENDING)
        pending = {record.key.document_id for record in oldest}
        if len(oldest) < MOST_PENDING:
            return pending
        for document_id in document_ids:
            newest = await self.ledger.newest(DocumentKey(tenant_id, document_id), limit=_NEWEST)
            if any(record.state is ChangeState.PENDING for record in newest):
                pending.add(document_id)
        return pending

    async def _rows(
        self,
        tenant_id: str,
        generation: str,
        suspects: Sequence[Suspect],
        heads: Mapping[str, Head],
        stored: Mapping[str, Sequence[StoredRow]],
    ) -> _Rows:
        wanted: dict[tuple[StoreName, str], set[str]] = defaultdict(set)
        for suspect in suspects:
            for place, chunk_ids in suspect.rows.items():
                wanted[place] |= chunk_ids
            head = heads.get(suspect.document_id)
            if head is not None and head.state is HeadState.LIVE:
                for store in INDEXES:
                    wanted[store, generation].update(named_in(head, generation, stored.get(head.key.document_id, ())))
        found: dict[tuple[StoreName, str], dict[str, list[IndexedRow]]] = {}
        for (store, made_with), chunk_ids in wanted.items():
            index = self.vectors if store is StoreName.VECTOR else self.lexical
            by_id: dict[str, list[IndexedRow]] = defaultdict(list)
            ids = sorted(chunk_ids)
            for start in range(0, len(ids), IDS_AT_ONCE):
                for row in await index.look_up(made_with, tenant_id, ids[start : start + IDS_AT_ONCE]):
                    by_id[row.chunk_id].append(row)
            found[store, made_with] = by_id
        return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything of one document, as it was while the document stood still."""

    tenant_id: str
    generation: str
    suspect: Suspect
    head: Head | None
    versions: Sequence[tuple[int, str]]
    stored: Sequence[StoredRow]
    rows: _Rows

    def differences(self) -> Iterator[Difference]:
        for number, generation in sorted(self.suspect.versions):
            if (number, generation) in self.versions and not is_named(self.head, number, generation):
                yield self._difference(self._unnamed(number), StoreName.CHUNKS, number, generation)
        named: set[str] = set()
        if self.head is not None and self.head.state is HeadState.LIVE:
            named = set(named_in(self.head, self.generation, self.stored))
            yield from self._of_named(self.head, named)
        explained = {(row.generation, row.chunk_id) for row in self.stored}
        for (store, generation), chunk_ids in self.suspect.rows.items():
            for chunk_id in sorted(chunk_ids - (named if self._is_current(generation) else set())):
                for row in self.rows[store, generation].get(chunk_id, ())[:1]:
                    if row.document_id == self.suspect.document_id and (
                        (generation, chunk_id) not in explained or is_named(self.head, row.chunks_version, generation)
                    ):
                        yield self._of_unexplained(store, generation, row)

    def _of_named(self, head: Head, named: set[str]) -> Iterator[Difference]:
        number, generation = head.chunks_version, self.generation
        stored = {
            row.chunk_id: row.content_sha256
            for row in self.stored
            if row.chunks_version == number and row.generation == generation
        }
        if not named:
            # Made by another generation, and never by the one that is searched.
            yield self._difference(DifferenceKind.MISSING, StoreName.CHUNKS, number, generation)
        for chunk_id in sorted(named ^ stored.keys()):
            kind = DifferenceKind.MISSING if chunk_id in named else DifferenceKind.DUPLICATE
            yield self._difference(kind, StoreName.CHUNKS, number, generation, chunk_id)
        access = policy_fingerprint(head.access)
        for store in INDEXES:
            for chunk_id in sorted(named):
                kind_of = _wrong(self.rows[store, generation].get(chunk_id, ()), head, stored.get(chunk_id), access)
                if kind_of is not None:
                    yield self._difference(kind_of, store, number, generation, chunk_id)

    def _of_unexplained(self, store: StoreName, generation: str, row: IndexedRow) -> Difference:
        """A row that is none of the named version's chunks and has no payload."""
        if is_named(self.head, row.chunks_version, generation):
            kind = DifferenceKind.DUPLICATE
        else:
            kind = self._unnamed(row.chunks_version)
        return self._difference(kind, store, row.chunks_version, generation, row.chunk_id)

    def _unnamed(self, chunks_version: int) -> DifferenceKind:
        known = self.head is not None and chunks_version <= self.head.version
        return DifferenceKind.STALE if known else DifferenceKind.ORPHAN

    def _is_current(self, generation: str) -> bool:
        return generation == self.generation

    def _difference(
        self, kind: DifferenceKind, store: StoreName, chunks_version: int, generation: str, chunk_id: str = ""
    ) -> Difference:
        return Difference(kind, store, self.tenant_id, self.suspect.document_id, chunks_version, generation, chunk_id)


def _wrong(rows: Sequence[IndexedRow], head: Head, content: str | None, access: str) -> DifferenceKind | None:
    """What is wrong with the rows under the id of a chunk that the head names."""
    if not rows:
        return DifferenceKind.MISSING
    if len(rows) > 1:
        return DifferenceKind.DUPLICATE
    [row] = rows
    is_of_chunk = row.document_id == head.key.document_id and row.chunks_version == head.chunks_version
    if not is_of_chunk or (content is not None and row.content_sha256 != content):
        return DifferenceKind.STALE
    return None if row.access == access else DifferenceKind.ACCESS
