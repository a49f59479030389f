"""Use cases of the API role that look: documents, changes, status, tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chassis.clock import Clock
from chassis.errors import InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from chassis.objectstore.port import ObjectStore
from corpus.access import access_tokens
from corpus.dead_letters import DeadLetterStore, KnownBadContent
from corpus.domain import ChangeRecord, ChangeState, DocumentKey, FieldType, Head, HeadState, Tenant
from corpus.ports import ChangeLedger, ChunkStore, Generations, HeadCounts, Heads, LexicalIndex, Tenants, VectorIndex
from corpus.pseudonyms import PseudonymStore
from corpus.reviews import ReviewQueue
from ingest.domain import Lane, collected_key
from ingest.ports import ChangeLog, HeadFeed

MAX_PAGE = 1000
MAX_EVENT_IDS = 1000
_FORGOTTEN_AT_ONCE = 100


def may_read(caller: Caller, head: Head, now: datetime) -> bool:
    """Whether the caller is among the readers of a live document that has not expired."""
    return (
        head.state is HeadState.LIVE
        and not head.held
        and (head.expires_at is None or head.expires_at > now)
        and head.access.security_level <= caller.clearance
        and not head.access.tokens.isdisjoint(access_tokens(head.key.tenant_id, caller.principals))
    )


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document as its reader sees it. ``head`` is None while no version was applied yet."""

    document_id: str
    head: Head | None
    changes: Sequence[ChangeRecord]


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """Where ingestion of a tenant stands."""

    lag: Mapping[Lane, int]
    counts: HeadCounts
    change_counts: Mapping[ChangeState, int]
    oldest_pending: Sequence[ChangeRecord]
    newest_dead_letters: Sequence[ChangeRecord]
    generation: str


@dataclass(frozen=True, slots=True)
class LookAtDocuments:
    """Reads heads and the ledger; never content."""

    tenants: Tenants
    heads: Heads
    ledger: ChangeLedger
    generations: Generations
    change_log: ChangeLog
    clock: Clock

    async def get(self, caller: Caller, document_id: str) -> DocumentView:
        """Raises NotFound, also for a document the caller may not know of."""
        key = DocumentKey(await self.tenants.latest_id(caller.tenant_id), document_id)
        head = await self.heads.get(key)
        if Scope.WRITE not in caller.scopes:
            if head is None or not may_read(caller, head, self.clock.now()):
                raise NotFound("There is no document with this id that you may read.", reason="UNKNOWN_DOCUMENT")
            return DocumentView(document_id, head, ())
        changes = await self.ledger.newest(key)
        if head is None and not changes:
            raise NotFound("There is no document with this id.", reason="UNKNOWN_DOCUMENT")
        return DocumentView(document_id, head, changes)

    async def list(
        self, caller: Caller, *, after: str, prefix: str, page_size: int, include_deleted: bool
    ) -> tuple[Sequence[Head], str]:
        """One page of heads and the id to go on after ("" at the end). Without the write scope only readable ones."""
        limit = min(page_size or 100, MAX_PAGE)
        may_see_all = Scope.WRITE in caller.scopes
        tenant_id = await self.tenants.latest_id(caller.tenant_id)
        found: list[Head] = []
        while len(found) < limit:
            page = await self.heads.list(
                tenant_id, after=after, prefix=prefix, limit=limit, include_deleted=include_deleted and may_see_all
            )
            for head in page:
                after = head.key.document_id
                if may_see_all or may_read(caller, head, self.clock.now()):
                    found.append(head)
                    if len(found) == limit:
                        return found, after
            if len(page) < limit:
                return found, ""
        return found, after

    async def changes(self, caller: Caller, event_ids: Collection[str]) -> Sequence[ChangeRecord]:
        """What became of these events; unknown ids are left out."""
        caller.require(Scope.WRITE)
        if len(event_ids) > MAX_EVENT_IDS:
            raise InvalidRequest(f"At most {MAX_EVENT_IDS} event ids fit into one call.", reason="TOO_MANY_IDS")
        tenant_id = await self.tenants.latest_id(caller.tenant_id)
        return list((await self.ledger.get_many(tenant_id, event_ids)).values())

    async def status(self, caller: Caller, list_limit: int) -> IngestStatus:
        """Lag, counts and what is open, for the caller's tenant."""
        caller.require(Scope.WRITE)
        tenant_id = await self.tenants.latest_id(caller.tenant_id)
        limit = min(list_limit, MAX_PAGE)
        active = await self.generations.active()
        return IngestStatus(
            lag=await self.change_log.lag(),
            counts=await self.heads.counts(tenant_id),
            change_counts=await self.ledger.counts(tenant_id),
            oldest_pending=await self.ledger.oldest_pending(tenant_id, max(limit, 1)),
            newest_dead_letters=await self.ledger.newest_dead_letters(tenant_id, limit) if limit else (),
            generation=active.name if active else "",
        )


@dataclass(frozen=True, slots=True)
class ManageTenants:
    """Use cases of administrators."""

    tenants: Tenants
    heads: Heads
    ledger: ChangeLedger
    chunks: ChunkStore
    vectors: VectorIndex
    lexical: LexicalIndex
    objects: ObjectStore
    feed: HeadFeed
    clock: Clock
    letters: DeadLetterStore | None = None
    known_bad: KnownBadContent | None = None
    pseudonyms: PseudonymStore | None = None
    reviews: ReviewQueue | None = None

    async def create(self, caller: Caller, name: str, fields: Mapping[str, FieldType]) -> Tenant:
        """Creates the tenant or adds declared fields."""
        caller.require(Scope.ADMIN)
        return await self.tenants.create(name, fields, at=self.clock.now())

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes the tenant: first its name, so that nothing new is accepted or searched, then what it holds. A call
        that stands still half-way touches nothing of a later tenant of the name."""
        caller.require(Scope.ADMIN)
        tenant_id = await self.tenants.latest_id(name)
        await self.tenants.delete(tenant_id)
        await self._empty_feed(tenant_id)
        await self.heads.drop_tenant(tenant_id)
        # After the drop, so that no replica asks for heads too early and keeps them.
        await self.feed.forget_tenant(tenant_id)
        await self.vectors.drop_tenant(tenant_id)
        await self.lexical.drop_tenant(tenant_id)
        if self.pseudonyms is not None:
            await self.pseudonyms.drop_tenant(tenant_id)
        await self.chunks.drop_tenant(tenant_id)
        await self.ledger.drop_tenant(tenant_id)
        if self.letters is not None:
            await self.letters.drop_tenant(tenant_id)
        if self.known_bad is not None:
            await self.known_bad.drop_tenant(tenant_id)
        if self.reviews is not None:
            await self.reviews.drop_tenant(tenant_id)
        # What audits have set aside, and broken uploads, too: no audit visits a tenant that is gone.
        for kept in ("documents", "dead-letters", "uploads", collected_key("documents")):
            async for key in self.objects.list(f"{kept}/{tenant_id}/"):
                await self.objects.delete(key)

    async def list(self, caller: Caller) -> Sequence[Tenant]:
        """All tenants."""
        caller.require(Scope.ADMIN)
        return await self.tenants.list()

    async def _empty_feed(self, tenant_id: str) -> None:
        """Removes the tenant's documents from the feed, which would keep a record of each for good. Before the heads
        are dropped, for they name the documents; a call that failed half-way is repeated."""
        after = ""
        while page := await self.heads.list(tenant_id, after=after, limit=MAX_PAGE, include_deleted=True):
            for start in range(0, len(page), _FORGOTTEN_AT_ONCE):
                await asyncio.gather(*(self.feed.forget(head.key) for head in page[start : start + _FORGOTTEN_AT_ONCE]))
            after = page[-1].key.document_id
        after = ""
        while kept := await self.heads.holds(tenant_id, after=after, limit=MAX_PAGE, include_released=True):
            for hold in kept:
                await self.feed.forget_hold(hold.key)
            after = kept[-1].key.document_id
