"""Gaps: live documents whose rows are not known to be complete in a generation.

They are, of the version that a head names, when the head was written while that generation was the active one, or when
the version is sealed in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from corpus.domain import Head
from corpus.ports import ChunkStore, Heads, Tenants

PAGE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Some live documents of a tenant, and those of them that have a gap."""

    documents: int
    gaps: Sequence[Head]


async def pages(heads: Heads, chunks: ChunkStore, tenant_id: str, generation: str) -> AsyncIterator[Page]:
    """All live documents of a tenant. Nothing is locked: what changes meanwhile is seen before or after the change."""
    after = ""
    while page := await heads.list(tenant_id, after=after, limit=PAGE):
        doubtful = [head for head in page if head.generation != generation]
        sealed = await _sealed(chunks, tenant_id, doubtful, generation)
        yield Page(len(page), [head for head in doubtful if (head.key.document_id, head.chunks_version) not in sealed])
        after = page[-1].key.document_id
        if len(page) < PAGE:
            return


async def count(tenants: Tenants, heads: Heads, chunks: ChunkStore, generation: str) -> int:
    """Gaps of all tenants."""
    gaps = 0
    for tenant in await tenants.list():
        async for page in pages(heads, chunks, tenant.tenant_id, generation):
            gaps += len(page.gaps)
    return gaps


async def _sealed(chunks: ChunkStore, tenant_id: str, heads: Sequence[Head], generation: str) -> set[tuple[str, int]]:
    """(document, version) of what is sealed, of documents from the first to the last of the heads."""
    sealed: set[tuple[str, int]] = set()
    if not heads:
        return sealed
    first, last = heads[0].key.document_id, heads[-1].key.document_id
    # The listing begins after an id. None lies between an id and the same one without its last character.
    after = first[:-1]
    while after < last:
        found = await chunks.stored_versions(tenant_id, after=after, limit=PAGE)
        if not found:
            break
        sealed |= {
            (each.document_id, each.chunks_version) for each in found if each.sealed and each.generation == generation
        }
        after = found[-1].document_id
    return sealed
