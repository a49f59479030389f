"""The rows of one version of a document, in the chunk store and in both indexes: kept together by one rule.

The payload is written first and removed last. So whatever an interrupted write or removal leaves in an index has a
payload from which its ids can be derived, and is found again: by the retry that overwrites it, or by the sweeper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

from corpus.domain import AccessPolicy, ChunkedDocument, DocumentKey, Head, LexicalRow, VectorRow
from corpus.ports import ChunkStore, Generations, LexicalIndex, VectorIndex
from corpus.privacy.vault import Vault
from corpus.pseudonyms import PseudonymStore
from ingest.stage import Stage


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """Writes, re-permissions and removes the rows of one version. Idempotent throughout. Without ``generations``, a
    head's rows are those of the generation that it was written by, and no other."""

    chunks: ChunkStore
    vectors: VectorIndex
    lexical: LexicalIndex
    generations: Generations | None = None
    pseudonyms: PseudonymStore | None = None
    vault: Vault | None = None

    async def write(
        self,
        document: ChunkedDocument,
        vector_rows: Sequence[VectorRow],
        lexical_rows: Sequence[LexicalRow],
        pseudonyms: Mapping[str, str] | None = None,
    ) -> None:
        """Replaces whatever an earlier attempt left of this version. ``pseudonyms``: what those in its text stand for,
        None where there are none to keep."""
        key, generation = document.key, document.generation
        left = await self._chunk_ids(key, document.chunks_version, generation)
        left -= {chunk.chunk_id for chunk in document.chunks}
        await self._delete_from_indexes(key.tenant_id, generation, left)
        with Stage("write_chunks"):
            await self.chunks.put(document)
        if self.vault is not None and pseudonyms is not None:
            with Stage("write_pseudonyms"):
                await self.vault.keep(key, document.chunks_version, generation, pseudonyms)
        await _both(self._write_vectors(generation, vector_rows), self._write_terms(generation, lexical_rows))

    async def _write_vectors(self, generation: str, rows: Sequence[VectorRow]) -> None:
        with Stage("write_vectors"):
            await self.vectors.write(generation, rows)

    async def _write_terms(self, generation: str, rows: Sequence[LexicalRow]) -> None:
        with Stage("write_terms"):
            await self.lexical.write(generation, rows)

    async def set_access(self, head: Head, access: AccessPolicy) -> None:
        """Gives the rows that the head names this access policy, in every generation that is kept."""
        plan = await self.generations.plan() if self.generations is not None else None
        kept = {generation.name for generation in plan.kept} if plan else set()
        for generation in sorted(kept | {head.generation}):
            chunk_ids = await self._chunk_ids(head.key, head.chunks_version, generation)
            if chunk_ids:
                await _both(
                    self.vectors.set_access(generation, head.key.tenant_id, chunk_ids, access),
                    self.lexical.set_access(generation, head.key.tenant_id, chunk_ids, access),
                )

    async def has_beside(self) -> bool:
        """Whether a second generation is kept, so that rows of a version may come about long after its head."""
        plan = await self.generations.plan() if self.generations is not None else None
        return plan is not None and plan.beside is not None

    async def remove_everywhere(self, key: DocumentKey, chunks_version: int) -> None:
        """Removes one version from every generation that it is stored in."""
        for version, generation in await self.chunks.versions_of(key):
            if version == chunks_version:
                await self.remove(key, version, generation)

    async def remove(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Removes one version from one generation."""
        chunk_ids = await self._chunk_ids(key, chunks_version, generation)
        await self._delete_from_indexes(key.tenant_id, generation, chunk_ids)
        await self.forget(key, chunks_version, generation)

    async def forget(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Removes one version's payload from one generation, and what its pseudonyms stand for before it."""
        if self.pseudonyms is not None:
            await self.pseudonyms.delete(key, chunks_version, generation)
        await self.chunks.delete(key, chunks_version, generation)

    async def _chunk_ids(self, key: DocumentKey, chunks_version: int, generation: str) -> set[str]:
        return {chunk.chunk_id for chunk in await self.chunks.chunks_of(key, chunks_version, generation)}

    async def _delete_from_indexes(self, tenant_id: str, generation: str, chunk_ids: set[str]) -> None:
        if chunk_ids:
            await _both(
                self.vectors.delete(generation, tenant_id, chunk_ids),
                self.lexical.delete(generation, tenant_id, chunk_ids),
            )


async def _both(*work: Awaitable[None]) -> None:
    """Waits for both writes, then raises the first failure: no write goes on behind a retry's back."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
