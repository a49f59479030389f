"""Applying one change: the write path from event to head (docs/architecture.md, "Writing").

    1  read head     older than the head → superseded · the head's own version → applied or duplicate
    2  delete        head becomes a tombstone
    3  set access    take from the old head what is taken, widen the chunks' tokens, write the head, narrow the tokens
    4  upsert        same content and description → as set access; otherwise index the document, then write the head
    5  publish the head on the feed; what was taken at once in step 3 is published at once

Steps 2 to 4 announce on the feed that a live head is about to be replaced, just before the first write that does so.
Replicas ask the authority from then on until step 5, however long it may be until then (docs/adr/0009).

Writing the head is the commit point. Everything before it writes rows that no head names, everything after it only
tidies, so a crash at any point leaves the document as it was or as it is meant to be, and the redelivered event
completes the rest.

A worker that lost its partition without noticing may still write rows. It can't change the head, but it may overwrite
the access of rows that a newer head names. Whoever finds that something newer is there, narrows access, or gives an
event up, therefore aligns the rows with the head as it is now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from chassis.clock import Clock
from chassis.telemetry import current_trace_id
from corpus.access import access_tokens
from corpus.domain import AccessPolicy, Announcement, CalledOff, ChangeState, Head, HeadState, published
from corpus.ports import Heads, PutOutcome, Tenants
from ingest.align import align_rows
from ingest.domain import (
    TENANT_GONE,
    Delete,
    DocumentChange,
    Outcome,
    SetAccess,
    Upsert,
    belongs_to,
    description_sha256,
)
from ingest.generations.write import IndexInGenerations
from ingest.index import IndexDocument, IndexedDocument
from ingest.ports import GenerationSource, HeadFeed
from ingest.reviews.raising import RaiseReviews
from ingest.rows import ChunkRows
from ingest.stage import Stage

ReadersWait = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class ApplyChange:
    """Use case of the worker role. Idempotent: applying an event twice leaves what applying it once does."""

    tenants: Tenants
    heads: Heads
    rows: ChunkRows
    index: IndexDocument | IndexInGenerations
    feed: HeadFeed
    generations: GenerationSource
    clock: Clock
    reviews: RaiseReviews | None = None
    """Where what the content's quality says against it is told; None: nowhere."""

    async def apply(
        self, event: DocumentChange, *, again: bool = False, readers_wait: ReadersWait | None = None
    ) -> Outcome:
        """Applies the event and says how it ended. Raises DocumentRejected when the document itself is bad,
        DependencyUnavailable, Overloaded or DeadlineExceeded when it must be tried again, with ``again`` then: an
        attempt that failed may have written rows. An upsert of which ``readers_wait`` says at its end that a newer
        change of access waits behind it is written without readers: that change names them."""
        if not belongs_to(event, await self.tenants.get(event.key.tenant_id)):
            await self.withdraw(event)
            return TENANT_GONE
        head = await self.heads.get(event.key)
        if head is not None and event.version < head.version:
            if again:
                await self._align_rows(head)
            return Outcome(ChangeState.SUPERSEDED)
        if head is not None and event.version == head.version:
            if head.event_id != event.event_id:
                return Outcome(ChangeState.DUPLICATE)
            # Applied before, but the worker died before it could say so: only the steps after the commit may be
            # missing.
            return await self._after_commit(event, head, rows_differ=True)
        match event.change:
            case Delete():
                return await self._commit(event, self._tombstone(event, head), over=head)
            case SetAccess(principals=principals, security_level=level):
                if head is None or head.state is HeadState.DELETED:
                    # Nothing to serve; the version still counts, so a late older upsert can't bring back its old
                    # readers.
                    return await self._commit(event, self._tombstone(event, head))
                return await self._change_access(event, head, principals, level, head.expires_at)
            case Upsert() as upsert:
                return await self._upsert(event, upsert, head, readers_wait)

    async def give_up(self, event: DocumentChange) -> None:
        """Tidies after an ``apply`` that was cancelled. If another worker has gone on meanwhile, what was written here
        is older than what the head says; if the tenant is gone, whoever goes on has found nothing of the event to take
        back. Idempotent. Raises DependencyUnavailable."""
        if not belongs_to(event, await self.tenants.get(event.key.tenant_id)):
            await self.withdraw(event)
            return
        head = await self.heads.get(event.key)
        if head is not None and head.version >= event.version:
            await self._align_rows(head)

    async def call_off(self, event: DocumentChange) -> None:
        """Tells readers that an event which will never be applied changes nothing, in case that a worker announced it.
        Idempotent. Raises DependencyUnavailable, Overloaded, DeadlineExceeded."""
        head = await self.heads.get(event.key)
        if head is not None and head.version < event.version:
            await self.feed.call_off(CalledOff(event.key, event.event_id))

    async def withdraw(self, event: DocumentChange) -> None:
        """Takes back an event whose tenant is gone, in case a worker announced or committed it and died before it could
        see that. Idempotent. Raises DependencyUnavailable, Overloaded, DeadlineExceeded."""
        head = await self.heads.get(event.key)
        if head is None:
            # Also what was purged just before another worker died: its word of that may be missing.
            await self.feed.forget(event.key)
        elif head.event_id == event.event_id:
            await self._withdraw(event, head)
        else:
            await self.feed.call_off(CalledOff(event.key, event.event_id))

    async def take_readers(self, event: DocumentChange, left: frozenset[str] = frozenset(), level: int = 0) -> None:
        """Takes access to what is served now from everybody but those with the tokens ``left`` and the clearance,
        without making ``event`` the head's version: for a change of access that is applied later. Idempotent."""
        head = await self.heads.get(event.key)
        if head is not None and head.state is HeadState.LIVE and head.version <= event.version:
            # The event may wait for hours, so this is announced, and ends, by itself. The head keeps its version;
            # another head can't be changed by it any more.
            announced = Announcement(event.key, f"{event.event_id}/readers", head.version + 1)
            await self.feed.announce(announced)
            await self._take_at_once(head, AccessPolicy(left, level))
            await self.feed.call_off(CalledOff(event.key, announced.announcement_id))
            # Or else a change to just this access would find nothing to do.
            await self._align_rows(head)

    async def _upsert(
        self, event: DocumentChange, upsert: Upsert, head: Head | None, readers_wait: ReadersWait | None
    ) -> Outcome:
        draft = upsert.draft
        generation = self.generations.current()
        described = description_sha256(draft, {"generation": generation.name})
        if (
            head is not None
            and head.state is HeadState.LIVE
            and head.content_sha256 == upsert.content.sha256
            and head.description_sha256 == described
        ):
            nobody = readers_wait is not None and await readers_wait()
            principals = () if nobody else draft.principals
            return await self._change_access(event, head, principals, draft.security_level, draft.expires_at)
        indexed = await self.index.index(event, upsert, generation)
        if self.reviews is not None and indexed.findings:
            await self.reviews.raise_all(event.key, event.version, indexed.findings)
        made = self._head_of(event, upsert, indexed)
        if readers_wait is None or not await readers_wait():
            return await self._commit(event, made, over=head)
        hidden = replace(made, access=AccessPolicy(frozenset(), made.access.security_level))
        outcome = await self._commit(event, hidden, over=head)
        await self._align_rows(hidden)
        return outcome

    def _head_of(self, event: DocumentChange, upsert: Upsert, indexed: IndexedDocument) -> Head:
        draft = upsert.draft
        return Head(
            key=event.key,
            version=event.version,
            chunks_version=event.version,
            state=HeadState.LIVE,
            access=indexed.access,
            principals=draft.principals,
            generation=indexed.document.generation,
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
            description_sha256=description_sha256(draft, {"generation": indexed.document.generation}),
            object_key=upsert.content.object_key,
            size_bytes=upsert.content.size_bytes,
            chunk_count=len(indexed.document.chunks),
            token_count=indexed.tokens,
            ingest_trace_id=current_trace_id(),
        )

    async def _change_access(
        self,
        event: DocumentChange,
        found: Head,
        principals: tuple[str, ...],
        security_level: int,
        expires_at: datetime | None,
    ) -> Outcome:
        """The index prefilter stays a superset of what the head allows: wider before the commit, narrower after it."""
        new = AccessPolicy(access_tokens(event.key.tenant_id, principals), security_level)
        old = found.access
        widest = AccessPolicy(old.tokens | new.tokens, min(old.security_level, new.security_level))
        head = replace(found, principals=principals, expires_at=expires_at)
        committed = replace(head, version=event.version, access=new, event_id=event.event_id)
        await self._announce(event, committed, over=found)
        if widest != old:
            if widest != new:
                await self._take_at_once(head, new)
            await self.rows.set_access(head, widest)
        # What was only widened is as the head says already: the next change of the document, a revocation perhaps, does
        # not wait for the rows to be written once more.
        return await self._commit(event, committed, rows_differ=new != widest)

    async def _take_at_once(self, head: Head, new: AccessPolicy) -> None:
        """A change that gives and takes takes first: who loses access does not keep it while rows are widened for
        others. The head stays of its version, so that the change is still to be applied should the worker die here."""
        old = head.access
        both = AccessPolicy(old.tokens & new.tokens, max(old.security_level, new.security_level))
        narrowed = replace(head, access=both)
        if await self.heads.put(narrowed) is PutOutcome.APPLIED:
            await self.feed.publish(narrowed)

    async def _announce(self, event: DocumentChange, made: Head, *, over: Head | None) -> None:
        """From here on replicas do not rely on the head that is about to be replaced. Nobody is served by a head that
        is not live, and one that differs in nothing but its version serves as well as the next."""
        if over is None or over.state is not HeadState.LIVE:
            return
        if published(replace(over, version=made.version)) == published(made):
            return
        with Stage("announce_head"):
            await self.feed.announce(Announcement(event.key, event.event_id, event.version))

    async def _commit(
        self, event: DocumentChange, head: Head, *, over: Head | None = None, rows_differ: bool = False
    ) -> Outcome:
        """Writes the head, announced before if it takes the place of ``over``."""
        await self._announce(event, head, over=over)
        with Stage("write_head"):
            outcome = await self.heads.put(head)
        if outcome is PutOutcome.SUPERSEDED:
            await self._align_rows(head)
            return Outcome(ChangeState.SUPERSEDED)
        return await self._after_commit(event, head, rows_differ=rows_differ)

    async def _after_commit(self, event: DocumentChange, head: Head, *, rows_differ: bool) -> Outcome:
        if not belongs_to(event, await self.tenants.get(event.key.tenant_id)):
            await self._withdraw(event, head)
            return TENANT_GONE
        with Stage("publish_head"):
            await self.feed.publish(head)
        if head.chunks_version != head.version and (rows_differ or await self.rows.has_beside()):
            # An upsert that was indexed has written its rows with just this access. Rows that are built beside may have
            # come too late to be widened, and too early to be written with the new access.
            await self._align_rows(head)
        return Outcome(ChangeState.APPLIED)

    async def _align_rows(self, written: Head) -> None:
        """Gives the rows that were just written the access of the head that names them now, if one does."""
        await align_rows(self.heads, self.rows, written)

    async def _withdraw(self, event: DocumentChange, head: Head) -> None:
        """The tenant was deleted while the change was under way. A later one of its name has another id and does not
        meet what was written, but nobody looks after it any more, so nothing stays, not even the tombstone. What
        readers may have seen of it is of the same version as the tombstone."""
        await self.feed.announce(Announcement(head.key, event.event_id, event.version + 1))
        await self.heads.put(self._tombstone(event, head))
        await self.rows.remove_everywhere(head.key, head.chunks_version)
        await self.heads.purge(head.key, event.version)
        await self.feed.forget(head.key)

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
