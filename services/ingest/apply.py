"""Applying one change: the write path from event to head (docs/architecture.md, "Writing").

    1  read head     older than the head → superseded · the head's own version → applied or duplicate
    2  delete        head becomes a tombstone
    3  set access    widen the chunks' tokens, write the head, narrow the chunks' tokens
    4  upsert        same content and description → as set access; otherwise index the document, then write the head
    5  publish the head on the feed

Writing the head is the commit point. Everything before it writes rows that no head names, everything after it only
tidies, so a crash at any point leaves the document as it was or as it is meant to be, and the redelivered event
completes the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace

from chassis.clock import Clock
from chassis.telemetry import current_trace_id
from corpus.access import access_tokens
from corpus.domain import AccessPolicy, ChangeState, Chunk, Head, HeadState
from corpus.ports import ChunkStore, Heads, LexicalIndex, PutOutcome, Tenants, VectorIndex
from ingest.domain import Delete, DocumentChange, Outcome, SetAccess, Upsert, description_sha256
from ingest.index import IndexDocument
from ingest.ports import GenerationSource, HeadFeed


@dataclass(frozen=True, slots=True)
class ApplyChange:
    """Use case of the worker role. Idempotent: applying an event twice leaves what applying it once does."""

    tenants: Tenants
    heads: Heads
    chunks: ChunkStore
    vectors: VectorIndex
    lexical: LexicalIndex
    index: IndexDocument
    feed: HeadFeed
    generations: GenerationSource
    clock: Clock

    async def apply(self, event: DocumentChange) -> Outcome:
        """Applies the event and says how it ended. Raises DocumentRejected when the document itself is bad,
        DependencyUnavailable, Overloaded or DeadlineExceeded when it must be tried again."""
        if await self.tenants.get(event.key.tenant_id) is None:
            return Outcome(
                ChangeState.SUPERSEDED, "UNKNOWN_TENANT", "The tenant was deleted after the change was accepted."
            )
        head = await self.heads.get(event.key)
        if head is not None and event.version < head.version:
            return Outcome(ChangeState.SUPERSEDED)
        if head is not None and event.version == head.version:
            if head.event_id != event.event_id:
                return Outcome(ChangeState.DUPLICATE)
            # Applied before, but the worker died before it could say so: only the steps after the commit may be
            # missing.
            await self._after_commit(head, head.access)
            return Outcome(ChangeState.APPLIED)
        match event.change:
            case Delete():
                return await self._commit(self._tombstone(event, head))
            case SetAccess(principals=principals, security_level=level):
                if head is None or head.state is HeadState.DELETED:
                    # Nothing to serve; the version still counts, so a late older upsert can't bring back its old
                    # readers.
                    return await self._commit(self._tombstone(event, head))
                return await self._change_access(event, replace(head, principals=principals), level)
            case Upsert() as upsert:
                return await self._upsert(event, upsert, head)

    async def _upsert(self, event: DocumentChange, upsert: Upsert, head: Head | None) -> Outcome:
        draft = upsert.draft
        generation = self.generations.current()
        described = description_sha256(draft, {"generation": generation.name})
        if (
            head is not None
            and head.state is HeadState.LIVE
            and head.content_sha256 == upsert.content.sha256
            and head.description_sha256 == described
        ):
            same = replace(head, principals=draft.principals, expires_at=draft.expires_at)
            return await self._change_access(event, same, draft.security_level)
        indexed = await self.index.index(event.key, event.version, upsert, generation)
        if await self.tenants.get(event.key.tenant_id) is None:
            return Outcome(
                ChangeState.SUPERSEDED, "UNKNOWN_TENANT", "The tenant was deleted after the change was accepted."
            )
        return await self._commit(
            Head(
                key=event.key,
                version=event.version,
                chunks_version=event.version,
                state=HeadState.LIVE,
                access=indexed.access,
                principals=draft.principals,
                generation=generation.name,
                event_id=event.event_id,
                updated_at=indexed.document.updated_at,
                expires_at=draft.expires_at,
                title=indexed.document.title,
                doc_type=indexed.document.doc_type,
                uri=draft.uri,
                language=indexed.document.language,
                filename=draft.filename,
                media_type=draft.media_type,
                metadata=indexed.document.metadata,
                content_sha256=upsert.content.sha256,
                description_sha256=described,
                object_key=upsert.content.object_key,
                size_bytes=upsert.content.size_bytes,
                chunk_count=len(indexed.document.chunks),
                token_count=indexed.tokens,
                ingest_trace_id=current_trace_id(),
            )
        )

    async def _change_access(self, event: DocumentChange, head: Head, security_level: int) -> Outcome:
        """The index prefilter stays a superset of what the head allows: wider before the commit, narrower after it."""
        new = AccessPolicy(access_tokens(event.key.tenant_id, head.principals), security_level)
        old = head.access
        widest = AccessPolicy(old.tokens | new.tokens, min(old.security_level, new.security_level))
        if widest != old:
            await self._set_chunk_access(head, widest)
        committed = replace(head, version=event.version, access=new, event_id=event.event_id)
        return await self._commit(committed, chunk_access=widest)

    async def _commit(self, head: Head, chunk_access: AccessPolicy | None = None) -> Outcome:
        if await self.heads.put(head) is PutOutcome.SUPERSEDED:
            return Outcome(ChangeState.SUPERSEDED)
        await self._after_commit(head, chunk_access or head.access)
        return Outcome(ChangeState.APPLIED)

    async def _after_commit(self, head: Head, chunk_access: AccessPolicy) -> None:
        await self.feed.publish(head)
        if chunk_access != head.access:
            await self._set_chunk_access(head, head.access)

    async def _set_chunk_access(self, head: Head, access: AccessPolicy) -> None:
        stored: Collection[Chunk] = await self.chunks.chunks_of(head.key, head.chunks_version, head.generation)
        chunk_ids = [chunk.chunk_id for chunk in stored]
        if chunk_ids:
            await asyncio.gather(
                self.vectors.set_access(head.generation, head.key.tenant_id, chunk_ids, access),
                self.lexical.set_access(head.generation, head.key.tenant_id, chunk_ids, access),
            )

    def _tombstone(self, event: DocumentChange, head: Head | None) -> Head:
        return Head(
            key=event.key,
            version=event.version,
            chunks_version=0,
            state=HeadState.DELETED,
            access=AccessPolicy(frozenset()),
            generation=head.generation if head else self.generations.current().name,
            event_id=event.event_id,
            updated_at=self.clock.now(),
            ingest_trace_id=current_trace_id(),
        )
