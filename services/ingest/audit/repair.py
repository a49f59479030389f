"""Mending confirmed differences, through the same writes that made the rows.

Ids and versions are the documents' own, so every step may be repeated and may stop at any point. What a repair writes
is of a version that a head names; should the head move on meanwhile, it has written rows of a superseded version, which
have a payload and are swept. The next look says whether a repair has held.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from chassis.errors import DocumentRejected, FailedPrecondition, InvalidRequest
from corpus.domain import ChunkedDocument, DocumentKey, Generation, Head, HeadState, Tenant
from corpus.ports import ChangeLedger, Generations, Heads, LexicalIndex, Tenants, VectorIndex
from ingest.align import align_rows, is_wanted
from ingest.audit.differences import Difference, DifferenceKind, StoreName
from ingest.audit.expected import named_ids
from ingest.document_rows import lexical_rows, only, vector_rows
from ingest.domain import DocumentChange, Draft, StoredContent, Upsert
from ingest.embedding import EmbedPassages
from ingest.generations.recipes import Recipes
from ingest.index import IndexDocument
from ingest.rows import ChunkRows
from ingest.tenancy import is_gone, tenant_gone

_log = structlog.get_logger()

CHUNKS_AT_ONCE = 500
"""Rows that are made and written together: bounds memory for a document of tens of thousands of chunks."""


@dataclass(slots=True)
class RepairStores:
    """Use case of whoever may write. ``index`` is there where documents can be parsed, once they can: without it,
    payloads that are lost stay so until a worker's reconciler makes them again."""

    heads: Heads
    rows: ChunkRows
    embed: EmbedPassages
    generations: Generations
    tenants: Tenants
    ledger: ChangeLedger
    index: IndexDocument | None = None
    recipes: Recipes | None = None
    """What it takes to make rows of a generation that an operator promoted, which may have another model."""

    async def repair(self, differences: Sequence[Difference], tenant: Tenant) -> Counter[str]:
        """Mends what can be mended of the tenant's; returns reason → differences that can't be. Idempotent. Raises
        DependencyUnavailable, Overloaded, DeadlineExceeded, and NotFound UNKNOWN_TENANT when the tenant is gone: what
        was written since is removed again."""
        refused: Counter[str] = Counter()
        by_document: dict[DocumentKey, list[Difference]] = defaultdict(list)
        for each in differences:
            if each.store is StoreName.OBJECTS:
                # Of missing bytes nobody else has a copy; what is not referenced is collected elsewhere.
                refused["CONTENT_MISSING"] += each.kind is DifferenceKind.MISSING
            else:
                by_document[DocumentKey(each.tenant_id, each.document_id)].append(each)
        for key, of_document in by_document.items():
            if await is_gone(self.tenants, tenant):
                # What differed was another tenant's; there may be rows of these ids again.
                raise tenant_gone()
            try:
                await self._repair(key, of_document, tenant)
            except (DocumentRejected, FailedPrecondition, InvalidRequest) as error:
                refused[error.reason] += len(of_document)
                _log.warning("not_repairable", reason=error.reason, differences=len(of_document))
        return +refused

    async def write_rows(
        self, head: Head, generation: str, store: StoreName, chunk_ids: Collection[str], tenant: Tenant
    ) -> None:
        """Writes rows of chunks that the head names to one of the indexes, from their payload. Raises
        FailedPrecondition (CHUNKS_MISSING, GENERATION_GONE, GENERATION_NOT_MADE_HERE, MODEL_MISMATCH) or InvalidRequest
        BAD_VECTOR when they can't be made; NotFound UNKNOWN_TENANT when the tenant is gone, and then removes them."""
        document = await self.rows.chunks.get_version(head.key, head.chunks_version, generation)
        known = {chunk.chunk_id for chunk in document.chunks} if document else set()
        if document is None or not set(chunk_ids) <= known:
            raise FailedPrecondition(
                "The chunk store lost the text of these rows; a worker makes it again from the document's bytes.",
                reason="CHUNKS_MISSING",
            )
        made_with = await self._generation(generation)
        ids = sorted(chunk_ids)
        for start in range(0, len(ids), CHUNKS_AT_ONCE):
            part = ids[start : start + CHUNKS_AT_ONCE]
            await self._write(only(document, part), head, store, made_with)
            if await is_gone(self.tenants, tenant):
                await self._index_of(store).delete(generation, tenant.tenant_id, part)
                raise tenant_gone()
        await align_rows(self.heads, self.rows, head)

    async def _write(self, part: ChunkedDocument, head: Head, store: StoreName, generation: Generation) -> None:
        if store is StoreName.VECTOR:
            embed = (await self.recipes.of(generation)).embed if self.recipes else self.embed
            rows = await vector_rows(embed, part, head.access, generation)
            await self.rows.vectors.write(generation.name, rows)
        else:
            await self.rows.lexical.write(generation.name, await lexical_rows(part, head.access))

    async def _generation(self, name: str) -> Generation:
        active = await self.generations.active()
        if active is None or active.name != name:
            raise FailedPrecondition(
                f"Rows of generation {name} can't be made: another one is active.", reason="GENERATION_GONE"
            )
        return active

    async def _repair(self, key: DocumentKey, differences: Sequence[Difference], tenant: Tenant) -> None:
        head = await self.heads.get(key)
        live = head if head is not None and head.state is HeadState.LIVE else None
        derived = frozenset(named_ids(live)) if live is not None else frozenset[str]()
        rows = [each for each in differences if each.kind is not DifferenceKind.ACCESS]
        for each in rows:
            if each.store is StoreName.CHUNKS and not each.chunk_id and each.kind is not DifferenceKind.MISSING:
                if not await is_wanted(self.heads, self.ledger, key, each.chunks_version):
                    await self.rows.remove(key, each.chunks_version, each.generation)
            elif each.store is not StoreName.CHUNKS and not _is_to_be_written(each, live, derived):
                await self._delete(each)
        if live is None:
            return
        texts = [each for each in rows if each.store is StoreName.CHUNKS and is_text(each)]
        if texts:
            await self._index_again(live, texts[0].generation, tenant)
            return
        lost: dict[tuple[str, StoreName], set[str]] = defaultdict(set)
        for each in rows:
            if each.store is not StoreName.CHUNKS and each.kind is DifferenceKind.DUPLICATE:
                await self._delete(each)
            if each.store is not StoreName.CHUNKS and _is_to_be_written(each, live, derived):
                lost[each.generation, each.store].add(each.chunk_id)
        for (generation, store), chunk_ids in lost.items():
            await self.write_rows(live, generation, store, chunk_ids, tenant)
        if len(rows) < len(differences):
            await align_rows(self.heads, self.rows, live)

    async def _delete(self, difference: Difference) -> None:
        index = self._index_of(difference.store)
        await index.delete(difference.generation, difference.tenant_id, [difference.chunk_id])

    def _index_of(self, store: StoreName) -> VectorIndex | LexicalIndex:
        return self.rows.vectors if store is StoreName.VECTOR else self.rows.lexical

    async def _index_again(self, head: Head, name: str, tenant: Tenant) -> None:
        """Parses the document's bytes once more, into the rows of the version that the head names."""
        if self.index is None:
            raise FailedPrecondition(
                "Lost text is made again by a worker's reconciler, in its next pass.", reason="LEFT_TO_A_WORKER"
            )
        generation = await self._generation(name)
        index = await self.recipes.beside(generation) if self.recipes else self.index
        event = event_of(head)
        assert isinstance(event.change, Upsert)
        indexed = await index.index(event, event.change, generation)
        if await is_gone(self.tenants, tenant):
            await self.rows.remove(head.key, head.chunks_version, name)
            raise tenant_gone()
        made = {chunk.chunk_id for chunk in indexed.document.chunks}
        if head.generation == name and made != set(named_ids(head)):
            raise FailedPrecondition(
                "The document is cut into other chunks than before; put it again.", reason="CHUNKS_DIFFER"
            )
        await align_rows(self.heads, self.rows, head)


def is_text(difference: Difference) -> bool:
    """Whether it is about the text of a version that is served."""
    return bool(difference.chunk_id) or difference.kind is DifferenceKind.MISSING


def _is_to_be_written(difference: Difference, head: Head | None, derived: Collection[str]) -> bool:
    """Whether the head names the chunk, so that its row is made again rather than removed. ``derived``: ids of its
    chunks in the generation that wrote it."""
    if head is None or difference.chunks_version != head.chunks_version:
        return False
    if difference.kind in (DifferenceKind.MISSING, DifferenceKind.STALE):
        return True
    return head.generation == difference.generation and difference.chunk_id in derived


def event_of(head: Head) -> DocumentChange:
    """The upsert that gives the rows which the head names."""
    draft = Draft(
        document_id=head.key.document_id,
        version=head.chunks_version,
        filename=head.filename,
        media_type=head.media_type,
        title=head.title,
        doc_type=head.doc_type,
        uri=head.uri,
        metadata=head.metadata,
        principals=head.principals,
        security_level=head.access.security_level,
        expires_at=head.expires_at,
    )
    content = StoredContent(head.object_key, head.content_sha256, head.size_bytes)
    return DocumentChange(head.event_id, head.key, head.chunks_version, head.updated_at, Upsert(draft, content))
