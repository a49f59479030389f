"""Use case: heads that were lost, from the log, the feed, the ledger and the chunk store (docs/audit.md).

Heads that are there are never made older: every write is compared by version. What can't be known is not guessed: a
document whose readers nobody remembers comes back for nobody, and one that may have been deleted does not come back.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from chassis.errors import DocumentRejected, FailedPrecondition, InvalidRequest
from chassis.eventlog.port import EventLog, Record
from corpus.access import access_tokens
from corpus.domain import (
    AccessPolicy,
    Announcement,
    CalledOff,
    ChangeRecord,
    ChangeState,
    ChunkedDocument,
    DocumentKey,
    Generation,
    Head,
    HeadState,
    PublishedHead,
    Tenant,
)
from corpus.feed import HEADS_TOPIC, decode_announcement, decode_head, held_document, read_record_key
from corpus.ports import ChangeLedger, ChunkStore, Generations, Heads, PutOutcome, StoredVersion, Tenants
from ingest.audit.audit import AuditStores, Progress, silent
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, decode_change
from ingest.domain import Delete, DocumentChange, Draft, StoredContent, Upsert, belongs_to, description_sha256
from ingest.fold import Folded, Known, fold, narrowed, newest_applied, stored_version, was_deleted
from ingest.generations.recipes import Recipes
from ingest.index import IndexDocument
from ingest.patience import patiently
from ingest.ports import HeadFeed
from ingest.rebuild import Rebuilt
from ingest.reviews.restore import restore_hold
from ingest.tenancy import is_gone, tenant_gone, tenant_of

_log = structlog.get_logger()

PASSES = 5
"""Workers that find no head meanwhile may write one that is too small; the next pass puts that right."""
_RECORDS = 500
_POLL_SECONDS = 1.0
_CHANGES = 200
"""Newest changes of a document that the ledger is asked for."""


@dataclass(slots=True)
class _Pass:
    """What one pass did."""

    tenant: Tenant
    documents: int = 0
    written: set[str] = field(default_factory=set)
    without_readers: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


@dataclass(slots=True)
class RebuildHeads:
    """Use case of operators. ``index`` is there where documents can be parsed: without it, documents whose chunks are
    lost as well stay away."""

    tenants: Tenants
    heads: Heads
    chunks: ChunkStore
    ledger: ChangeLedger
    generations: Generations
    log: EventLog
    feed: HeadFeed
    audits: AuditStores
    index: IndexDocument | None = None
    recipes: Recipes | None = None
    """What it takes to make rows of a generation that an operator promoted."""

    async def rebuild(self, tenant_id: str, *, progress: Progress = silent) -> Rebuilt:
        """Writes the heads that are missing, and audits. Holds the tenant's changes that the log has in memory.
        Idempotent. Raises DependencyUnavailable, FailedPrecondition TOPIC_MISSING, NotFound UNKNOWN_TENANT, also when
        the tenant is deleted meanwhile."""
        tenant = await tenant_of(self.tenants, tenant_id)
        await self.tenants.set_rebuilding(tenant_id, "heads", True)
        generation = await self.generations.active()
        written: set[str] = set()
        without_readers: set[str] = set()
        last = _Pass(tenant)
        for _ in range(PASSES if generation is not None else 0):
            assert generation is not None
            last = await self._pass(tenant, generation, written, progress)
            written |= last.written
            without_readers |= last.without_readers
            if not last.written:
                break
        report = await patiently(partial(self.audits.audit, tenant_id, repair=True, progress=progress))
        if not last.written:
            await self.tenants.set_rebuilding(tenant_id, "heads", False)
        return Rebuilt(last.documents, len(written), report, sorted(without_readers), sorted(last.lost))

    async def _pass(self, tenant: Tenant, generation: Generation, before: set[str], progress: Progress) -> _Pass:
        """``before``: documents whose heads were written by earlier passes. A change of access that came just then may
        have found no head to take readers from."""
        known = await self._read_everything(tenant, progress)
        made = _Pass(tenant, documents=len(known))
        for place, (document_id, each) in enumerate(sorted(known.items())):
            key = DocumentKey(tenant.tenant_id, document_id)
            each.settle(await self._changes(key))
            there = await self.heads.get(key)
            version = newest_applied(each)
            if there is None or there.version < version or (there.version == version and _lacks(there, each)):
                await self._write(key, each, version, generation, there, made)
            elif document_id in before and there.version == version and _narrowed(there, each) != there:
                await self._put(_narrowed(there, each), made)
            if place % 100 == 0:
                await progress("write", place)
        return made

    async def _changes(self, key: DocumentKey) -> Sequence[ChangeRecord]:
        """The document's newest changes, back to one that was applied at least."""
        limit = _CHANGES
        while True:
            found = await self.ledger.newest(key, limit=limit)
            if len(found) < limit or any(record.state is ChangeState.APPLIED for record in found):
                return found
            limit *= 10

    async def _read_everything(self, tenant: Tenant, progress: Progress) -> Mapping[str, Known]:
        tenant_id = tenant.tenant_id
        known: dict[str, Known] = defaultdict(Known)
        read = 0
        for topic in (CHANGES_TOPIC, BULK_CHANGES_TOPIC):
            async for record in self._records(topic):
                read += 1
                if read % 1_000 == 0:
                    await progress("read", read)
                change = _change_of(record)
                if change is not None and change.key.tenant_id == tenant_id and belongs_to(change, tenant):
                    known[change.key.document_id].said.setdefault(change.version, []).append(change)
        async for record in self._records(HEADS_TOPIC):
            name = read_record_key(record.key)
            if name is None or name[0] != tenant_id or not name[1]:
                continue
            if held_document(name[1]):
                await restore_hold(self.heads, record, tenant_id)
            else:
                _hear(known[name[1]], record)
        after = ""
        while versions := await self.chunks.stored_versions(tenant_id, after=after):
            for version in versions:
                known[version.document_id].versions.append(version)
            after = versions[-1].document_id
        return {document_id: each for document_id, each in known.items() if _is_something(each)}

    async def _records(self, topic: str) -> AsyncIterator[Record]:
        """Every record that is in the topic when its end is reached."""
        reader = self.log.reader(topic)
        await reader.start()
        try:
            while await reader.behind() > 0:
                for record in await reader.poll(_RECORDS, _POLL_SECONDS):
                    yield record
        finally:
            await reader.stop()

    async def _write(
        self, key: DocumentKey, known: Known, version: int, generation: Generation, there: Head | None, made: _Pass
    ) -> None:
        folded = fold(known, generation.name)
        if folded is not None:
            head = await self._from_changes(key, known, folded, generation, made.tenant)
        elif known.published is not None and known.published.version == version:
            head = await self._from_feed(known, known.published, generation)
            if head is None:
                head = await self._for_nobody(key, known, version, generation)
                if head is not None:
                    made.without_readers.add(key.document_id)
        elif was_deleted(known, version):
            head = _tombstone(key, version, generation, known)
        else:
            head = await self._for_nobody(key, known, version, generation)
            if head is not None:
                made.without_readers.add(key.document_id)
        if head is None:
            made.lost.add(key.document_id)
            return
        if there is not None and _alike(there, head):
            return
        left = _narrowed(head, known)
        if head.access.tokens and not left.access.tokens:
            made.without_readers.add(key.document_id)
        await self._put(left, made)

    async def _put(self, head: Head, made: _Pass) -> None:
        """Replicas may hold the head that was lost, of this very version and with other readers: they ask from the
        announcement on, and once more when it is called off. The record comes last, for it is what compaction keeps."""
        if await is_gone(self.tenants, made.tenant):
            raise tenant_gone()
        announced = Announcement(head.key, f"rebuilt/{uuid.uuid4()}", head.version + 1)
        await self.feed.announce(announced)
        outcome = await self.heads.put(head)
        await self.feed.call_off(CalledOff(head.key, announced.announcement_id))
        if await is_gone(self.tenants, made.tenant):
            # Not even a tombstone may stay: it would outrank what a later tenant of this name writes.
            tombstone = replace(head, state=HeadState.DELETED, chunks_version=0, access=AccessPolicy(frozenset()))
            await self.heads.put(tombstone)
            await self.heads.purge(head.key, head.version)
            await self.feed.forget(head.key)
            raise tenant_gone()
        if outcome is PutOutcome.APPLIED:
            await self.feed.publish(head)
        made.written.add(head.key.document_id)

    async def _from_changes(
        self, key: DocumentKey, known: Known, folded: Folded, generation: Generation, tenant: Tenant
    ) -> Head | None:
        upsert = folded.upsert
        if upsert is None:
            return _tombstone(key, folded.version, generation, known, folded.event_id)
        access = AccessPolicy(access_tokens(key.tenant_id, folded.principals), folded.security_level)
        stored = stored_version(known.versions, folded.content_version, upsert.content, generation.name)
        document = await self._document(key, stored) if stored else None
        if document is None:
            document = await self._index(key, folded, upsert, generation)
            if document is not None and await is_gone(self.tenants, tenant):
                await self.audits.repair.rows.remove(key, document.chunks_version, document.generation)
                raise tenant_gone()
        if document is None:
            return None
        draft = upsert.draft
        return replace(
            _head(document, folded.version, access, upsert.content),
            event_id=folded.event_id,
            principals=folded.principals,
            expires_at=draft.expires_at,
            filename=draft.filename,
            media_type=draft.media_type,
            uri=draft.uri,
            description_sha256=description_sha256(draft, {"generation": document.generation}),
        )

    async def _from_feed(self, known: Known, told: PublishedHead, generation: Generation) -> Head | None:
        """Tokens say who may read; names of readers, which only the changes had, are gone. The generation that a head
        names may have been dropped since: its version is then in the one that is searched."""
        if told.state is HeadState.DELETED:
            return Head(
                key=told.key,
                version=told.version,
                chunks_version=0,
                state=HeadState.DELETED,
                access=AccessPolicy(frozenset()),
                generation=told.generation,
                event_id="",
                updated_at=self.audits.clock.now(),
            )
        stored = [each for each in known.versions if each.chunks_version == told.chunks_version]
        for each in sorted(
            stored, key=lambda one: (one.generation != told.generation, one.generation != generation.name)
        ):
            document = await self._document(told.key, each)
            if document is not None:
                break
        else:
            return None
        head = _head(document, told.version, told.access, _content_of(document))
        return replace(head, expires_at=told.expires_at, ingest_trace_id=told.ingest_trace_id)

    async def _for_nobody(self, key: DocumentKey, known: Known, version: int, generation: Generation) -> Head | None:
        """A live document of which the ledger knows, and nobody who may read it."""
        if not version or not known.records:
            return None
        stored = stored_version(known.versions, version, None, generation.name) or max(
            (each for each in known.versions if each.chunks_version <= version),
            key=lambda each: each.chunks_version,
            default=None,
        )
        document = await self._document(key, stored) if stored else None
        return _head(document, version, AccessPolicy(frozenset()), _content_of(document)) if document else None

    async def _document(self, key: DocumentKey, stored: StoredVersion) -> ChunkedDocument | None:
        document = await self.chunks.get_version(key, stored.chunks_version, stored.generation)
        return document if document is not None and document.chunks else None

    async def _index(
        self, key: DocumentKey, folded: Folded, upsert: Upsert, generation: Generation
    ) -> ChunkedDocument | None:
        """The document made again from its bytes."""
        if self.index is None:
            return None
        draft: Draft = replace(upsert.draft, principals=folded.principals, security_level=folded.security_level)
        again = replace(upsert, draft=draft)
        event = DocumentChange(folded.event_id, key, folded.content_version, folded.changed_at, again)
        try:
            index = await self.recipes.beside(generation) if self.recipes else self.index
            return (await index.index(event, again, generation)).document
        except (DocumentRejected, FailedPrecondition) as error:
            _log.warning("document_not_rebuilt", reason=error.reason)
            return None


def _head(document: ChunkedDocument, version: int, access: AccessPolicy, content: StoredContent) -> Head:
    return Head(
        key=document.key,
        version=version,
        chunks_version=document.chunks_version,
        state=HeadState.LIVE,
        access=access,
        generation=document.generation,
        event_id="",
        updated_at=document.updated_at,
        title=document.title,
        doc_type=document.doc_type,
        uri=document.uri,
        language=document.language,
        filename=document.origin.filename if document.origin else "",
        media_type=document.origin.media_type if document.origin else "",
        metadata=document.metadata,
        content_sha256=content.sha256,
        object_key=content.object_key,
        size_bytes=content.size_bytes,
        chunk_count=len(document.chunks),
        token_count=sum(chunk.token_count for chunk in document.chunks),
    )


def _content_of(document: ChunkedDocument) -> StoredContent:
    origin = document.origin
    return (
        StoredContent(origin.object_key, origin.content_sha256, origin.size_bytes)
        if origin
        else StoredContent("", "", 0)
    )


def _tombstone(key: DocumentKey, version: int, generation: Generation, known: Known, event_id: str = "") -> Head:
    record = next((each for each in known.records if each.version == version), None)
    change = known.changes.get(version)
    moment = change.accepted_at if change else record.finished_at or record.accepted_at if record else None
    return Head(
        key=key,
        version=version,
        chunks_version=0,
        state=HeadState.DELETED,
        access=AccessPolicy(frozenset()),
        generation=generation.name,
        event_id=event_id or (record.event_id if record else ""),
        updated_at=moment or max(each.stored_at for each in known.versions),
    )


def _lacks(there: Head, known: Known) -> bool:
    """Whether a tombstone may stand for a document: a worker that found no head made one of a change of access."""
    return (
        there.state is HeadState.DELETED
        and there.version in known.changes
        and not isinstance(known.changes[there.version].change, Delete)
    )


def _narrowed(head: Head, known: Known) -> Head:
    if head.state is not HeadState.LIVE:
        return head
    return replace(head, access=narrowed(head.access, known, head.key.tenant_id, head.version))


def _alike(there: Head, head: Head) -> bool:
    return (there.version, there.state, there.chunks_version) == (head.version, head.state, head.chunks_version)


def _is_something(known: Known) -> bool:
    return bool(known.said or known.published or known.versions)


def _hear(known: Known, record: Record) -> None:
    """An announcement says nothing of what is. What a record said that can't be read is not guessed from earlier
    ones."""
    try:
        if record.value and decode_announcement(record.value) is not None:
            return
        known.hear(decode_head(record.value) if record.value else None)
    except InvalidRequest:
        known.hear(None)


def _change_of(record: Record) -> DocumentChange | None:
    try:
        return decode_change(record.value or b"")
    except InvalidRequest:
        return None
