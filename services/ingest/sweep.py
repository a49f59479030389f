"""Removes superseded chunks after the grace period, so that stores hold what heads name and little else.

A chunk no head names is never served; sweeping only gives room back. It runs at a bounded rate beside the worker and
never touches a version younger than the grace period, so a rollback and a version still being written are safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.clock import Clock
from corpus.domain import DocumentKey, Head, HeadState
from corpus.ports import ChunkStore, Heads, LexicalIndex, StoredVersion, Tenants, VectorIndex


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Finds and removes versions that no head names."""

    tenants: Tenants
    heads: Heads
    chunks: ChunkStore
    vectors: VectorIndex
    lexical: LexicalIndex
    clock: Clock
    grace_seconds: float

    async def sweep(self) -> int:
        """One pass over all tenants; returns how many versions were removed. Idempotent, and may stop at any point."""
        removed = 0
        for tenant in await self.tenants.list():
            after = ""
            while page := await self.chunks.stored_versions(tenant.tenant_id, after=after):
                removed += await self._sweep_page(tenant.tenant_id, page)
                after = page[-1].document_id
        return removed

    async def _sweep_page(self, tenant_id: str, page: Sequence[StoredVersion]) -> int:
        heads = await self.heads.get_many(tenant_id, {version.document_id for version in page})
        oldest_kept = self.clock.now() - timedelta(seconds=self.grace_seconds)
        removed = 0
        for version in page:
            head = heads.get(version.document_id)
            if version.stored_at > oldest_kept or _is_named(version, head) or _recently_superseded(head, oldest_kept):
                continue
            await self.remove(DocumentKey(tenant_id, version.document_id), version.chunks_version, version.generation)
            removed += 1
        return removed

    async def remove(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Removes one version: index rows first and the payload last, so that an interrupted sweep is found again."""
        chunk_ids = [chunk.chunk_id for chunk in await self.chunks.chunks_of(key, chunks_version, generation)]
        if chunk_ids:
            await asyncio.gather(
                self.vectors.delete(generation, key.tenant_id, chunk_ids),
                self.lexical.delete(generation, key.tenant_id, chunk_ids),
            )
        await self.chunks.delete(key, chunks_version, generation)


def _is_named(version: StoredVersion, head: Head | None) -> bool:
    return (
        head is not None
        and head.state is HeadState.LIVE
        and head.chunks_version == version.chunks_version
        and head.generation == version.generation
    )


def _recently_superseded(head: Head | None, oldest_kept: datetime) -> bool:
    """The grace period counts from the change that superseded a version, not from when the version was stored."""
    return head is not None and head.updated_at > oldest_kept
