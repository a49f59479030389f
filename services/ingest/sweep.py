"""Removes superseded chunks after the grace period, so that stores hold what heads name and little else.

A chunk no head names is never served; sweeping only gives room back. It runs at a bounded rate beside the worker and
never touches a version younger than the grace period, so a rollback and a version still being written are safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.clock import Clock
from corpus.domain import DocumentKey, Head, HeadState
from corpus.ports import ChangeLedger, Generations, Heads, StoredVersion, Tenants
from ingest.align import is_wanted
from ingest.rows import ChunkRows


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Finds and removes versions that no head names, and those of generations that are kept no longer. Without
    ``generations``, every generation counts as kept."""

    tenants: Tenants
    heads: Heads
    ledger: ChangeLedger
    rows: ChunkRows
    clock: Clock
    grace_seconds: float
    generations: Generations | None = None

    async def sweep(self) -> int:
        """One pass over all tenants; returns how many versions were removed. Idempotent, and may stop at any point."""
        removed = 0
        for tenant in await self.tenants.list():
            after = ""
            while page := await self.rows.chunks.stored_versions(tenant.tenant_id, after=after):
                removed += await self._sweep_page(tenant.tenant_id, page)
                after = page[-1].document_id
        return removed

    async def _sweep_page(self, tenant_id: str, page: Sequence[StoredVersion]) -> int:
        # First: a generation that is created meanwhile has no version older than the grace period.
        plan = await self.generations.plan() if self.generations is not None else None
        kept = {generation.name for generation in plan.kept} if plan else None
        heads = await self.heads.get_many(tenant_id, {version.document_id for version in page})
        oldest_kept = self.clock.now() - timedelta(seconds=self.grace_seconds)
        removed = 0
        for version in page:
            head = heads.get(version.document_id)
            if version.stored_at > oldest_kept:
                continue
            key = DocumentKey(tenant_id, version.document_id)
            if kept is None or version.generation in kept:
                if _is_named(version, head):
                    continue
                if head is not None and _superseded_at(head, page) > oldest_kept:
                    continue
                if await is_wanted(self.heads, self.ledger, key, version.chunks_version):
                    continue
            await self.rows.remove(key, version.chunks_version, version.generation)
            removed += 1
        return removed


def _is_named(version: StoredVersion, head: Head | None) -> bool:
    return (
        head is not None
        and head.state is HeadState.LIVE
        and head.key.document_id == version.document_id
        and head.chunks_version == version.chunks_version
    )


def _superseded_at(head: Head, page: Sequence[StoredVersion]) -> datetime:
    """The grace period counts from the change that superseded a version, not from when the version was stored.

    A tombstone says when it was written. A live head does not (its ``updated_at`` is the document's own time), but the
    version that it names was stored just before.
    """
    named = next((version.stored_at for version in page if _is_named(version, head)), None)
    return named or head.updated_at
