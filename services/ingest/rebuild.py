"""Use case: filling one index again from heads and the chunk store, while searches go on.

What is there already is looked up and left alone, so a rebuild that was cut off goes on where it ended, and repeating a
finished one reads and writes nothing but an audit. From the first step to the end of the audit, searches of the tenant
name the store as degraded; a rebuild that never ends leaves it so, which is the truth.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from chassis.errors import FailedPrecondition, InvalidRequest
from corpus.domain import Head, StoredRow, Tenant
from corpus.ports import Heads, Tenants
from ingest.audit.audit import AuditStores, Progress, silent
from ingest.audit.differences import AuditReport, DifferenceKind, StoreName
from ingest.audit.expected import named_in
from ingest.audit.repair import RepairStores
from ingest.patience import patiently
from ingest.rows import ChunkRows
from ingest.tenancy import tenant_of

_log = structlog.get_logger()

PAGE = 100
"""Documents whose rows are looked up together."""
IDS_AT_ONCE = 1_000
DEGRADED_IS_KNOWN_SECONDS = 6.0
"""Retrievers remember a tenant for 5 s: rows are dropped once every one of them says so."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How a rebuild ended.

    Attributes:
        documents: Looked at.
        written: Rows or heads written.
        without_readers, lost: Of heads; see ``ingest.rebuild_heads``.
        audit: The audit at the end; it has mended what writers changed meanwhile.
    """

    documents: int
    written: int
    audit: AuditReport
    without_readers: Sequence[str] = field(default=())
    lost: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class RebuildIndexes:
    """Use case of operators."""

    tenants: Tenants
    heads: Heads
    rows: ChunkRows
    repair: RepairStores
    audits: AuditStores
    degraded_is_known_seconds: float = DEGRADED_IS_KNOWN_SECONDS

    async def rebuild(
        self, tenant_id: str, store: StoreName, *, drop: bool = False, progress: Progress = silent
    ) -> Rebuilt:
        """Writes every row that heads name and the index lacks, in the generation that is searched. ``drop`` empties it
        first; the one beside stays, for nothing here would fill it again. What a store refuses for a moment is tried
        again. Raises DependencyUnavailable when one is away for longer, and repeating the call goes on; NotFound
        UNKNOWN_TENANT, also when the tenant is deleted meanwhile."""
        tenant = await tenant_of(self.tenants, tenant_id)
        await self.tenants.set_rebuilding(tenant_id, store.value, True)
        if drop:
            await progress("drop", 0)
            # Who searches an empty index shall know that it is one.
            await asyncio.sleep(self.degraded_is_known_seconds)
            index = self.rows.vectors if store is StoreName.VECTOR else self.rows.lexical
            active = await self.repair.generations.active()
            if active is not None:
                await patiently(partial(index.drop_tenant, tenant_id, active.name))
        documents = written = 0
        after = ""
        while page := await patiently(partial(self.heads.list, tenant_id, after=after, limit=PAGE)):
            written += await patiently(partial(self._fill, tenant, store, page))
            documents += len(page)
            after = page[-1].key.document_id
            await progress("write", documents)
        report = await patiently(partial(self.audits.audit, tenant_id, repair=True, progress=progress))
        lacking = [each for each in report.left if each.store is store and each.kind is DifferenceKind.MISSING]
        if lacking:
            _log.warning("rebuild_incomplete", missing=len(lacking))
        else:
            await self.tenants.set_rebuilding(tenant_id, store.value, False)
        return Rebuilt(documents, written, report)

    async def _fill(self, tenant: Tenant, store: StoreName, page: Sequence[Head]) -> int:
        """Rows that were written for these documents, in the generation that is searched."""
        tenant_id = tenant.tenant_id
        active = await self.repair.generations.active()
        if active is None:
            return 0
        wanted = [(head.key.document_id, head.chunks_version, active.name) for head in page]
        stored: dict[str, list[StoredRow]] = defaultdict(list)
        for row in await self.rows.chunks.rows_of(tenant_id, wanted):
            stored[row.document_id].append(row)
        named = {
            chunk_id: head for head in page for chunk_id in named_in(head, active.name, stored[head.key.document_id])
        }
        written = 0
        for head, missing in await self._missing(tenant_id, store, active.name, named):
            try:
                await self.repair.write_rows(head, active.name, store, missing, tenant)
            except (FailedPrecondition, InvalidRequest) as error:
                # Its text is lost as well, or it is of another model, or there are no vectors of it: the audit says so.
                _log.warning("rows_not_rebuilt", reason=error.reason, rows=len(missing))
            else:
                written += len(missing)
        return written

    async def _missing(
        self, tenant_id: str, store: StoreName, generation: str, heads: Mapping[str, Head]
    ) -> Sequence[tuple[Head, set[str]]]:
        """Heads, each with the ids of its chunks that the index lacks."""
        index = self.rows.vectors if store is StoreName.VECTOR else self.rows.lexical
        ids = list(heads)
        missing: dict[str, set[str]] = defaultdict(set)
        by_document = {head.key.document_id: head for head in heads.values()}
        for start in range(0, len(ids), IDS_AT_ONCE):
            part = ids[start : start + IDS_AT_ONCE]
            there = {row.chunk_id for row in await index.look_up(generation, tenant_id, part)}
            for chunk_id in part:
                if chunk_id not in there:
                    missing[heads[chunk_id].key.document_id].add(chunk_id)
        return [(by_document[document_id], chunk_ids) for document_id, chunk_ids in missing.items()]
