"""Use case: an earlier version of a document as a new one.

A rollback is an upsert like any other, of bytes that are still there: it is parsed, chunked and embedded again (the
embedding cache knows its texts), and it takes part in the order of versions. What makes it one is where its parts come
from: content and description from the version that is restored, readers, security level and expiry from the head.

It takes the next number after the newest accepted version, and only when every accepted change is applied. So no
change of readers can lie between the head that was read and the rollback's version: one that is accepted at the same
time has a greater version and wins, or the same version and one of the two is refused. Readers are never widened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.errors import Conflict, FailedPrecondition, NotFound
from chassis.identity import Caller, Scope
from chassis.objectstore.port import ObjectStore
from corpus.domain import ChangeKind, ChangeRecord, ChangeState, ChunkedDocument, DocumentKey, Head, HeadState
from corpus.ports import ChangeLedger, ChunkStore, Heads
from ingest.accept import AcceptChanges
from ingest.domain import Draft, Receipt, StoredContent, Upsert

_ATTEMPTS = 3
"""When somebody else takes the version."""
_NEWEST = 100
"""Changes of a document that are looked through for those that wait."""


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version whose content is kept."""

    version: int
    served: bool
    restorable: bool
    chunks: int
    title: str


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback was accepted as."""

    receipt: Receipt
    restored_version: int
    without_readers: bool


@dataclass(frozen=True, slots=True)
class RollBackDocuments:
    """Use cases of the API role about earlier versions."""

    heads: Heads
    chunks: ChunkStore
    ledger: ChangeLedger
    objects: ObjectStore
    accept: AcceptChanges

    async def versions(self, caller: Caller, document_id: str) -> Sequence[KeptVersion]:
        """Versions that are kept, newest first. Raises NotFound UNKNOWN_DOCUMENT."""
        caller.require(Scope.WRITE)
        key = DocumentKey(await self.accept.tenants.latest_id(caller.tenant_id), document_id)
        head = await self._head(key)
        kept = []
        # Of a version that two generations hold, one tells all there is.
        for number, generation in sorted(dict(await self.chunks.versions_of(key)).items(), reverse=True):
            document = await self.chunks.get_version(key, number, generation)
            if document is None:
                continue
            served = _serves(head, number)
            restorable = not served and document.origin is not None and await self._was_live(key, number)
            kept.append(KeptVersion(number, served, restorable, len(document.chunks), document.title))
        return kept

    async def roll_back(self, caller: Caller, document_id: str, to_version: int = 0) -> RolledBack:
        """Accepts the rollback; it is applied a moment later. Raises NotFound UNKNOWN_DOCUMENT, FailedPrecondition
        (VERSION_SWEPT, NO_EARLIER_VERSION, VERSION_NOT_SERVED, ALREADY_LIVE, CONTENT_MISSING, CHANGES_PENDING)."""
        caller.require(Scope.WRITE)
        key = DocumentKey(await self.accept.tenants.latest_id(caller.tenant_id), document_id)
        for _ in range(_ATTEMPTS):
            newest = await self._newest_applied(key)
            # Read after the ledger: what is pending from now on has a greater version than the newest.
            head = await self._head(key)
            document = await self._restored(key, head, to_version)
            upsert = await self._upsert(document, head)
            version = max(newest, head.version) + 1
            try:
                receipt = await self.accept.at_version(key, version, upsert)
            except Conflict:
                continue
            return RolledBack(receipt, document.chunks_version, not head.principals)
        raise _pending()

    async def _newest_applied(self, key: DocumentKey) -> int:
        """Greatest accepted version. Raises FailedPrecondition CHANGES_PENDING unless every change has ended."""
        records = await self.ledger.newest(key, limit=_NEWEST)
        if any(record.state is ChangeState.PENDING for record in records):
            raise _pending()
        return records[0].version if records else 0

    async def _head(self, key: DocumentKey) -> Head:
        head = await self.heads.get(key)
        if head is None:
            raise NotFound("There is no document with this id.", reason="UNKNOWN_DOCUMENT")
        return head

    async def _restored(self, key: DocumentKey, head: Head, to_version: int) -> ChunkedDocument:
        kept = sorted(await self.chunks.versions_of(key), reverse=True)
        if to_version:
            if _serves(head, to_version):
                raise FailedPrecondition(f"Version {to_version} is what is served now.", reason="ALREADY_LIVE")
            kept = [each for each in kept if each[0] == to_version]
            if not kept:
                raise _swept(f"Version {to_version}")
            if not await self._was_live(key, to_version):
                raise FailedPrecondition(
                    f"Version {to_version} was never served; headwater documents versions names those that were.",
                    reason="VERSION_NOT_SERVED",
                )
        before = head.chunks_version if head.state is HeadState.LIVE else head.version
        for number, generation in kept:
            if (to_version or number < before) and await self._was_live(key, number):
                document = await self.chunks.get_version(key, number, generation)
                if document is not None and document.origin is not None:
                    return document
        if not to_version and not await self._had_earlier(key, before):
            raise FailedPrecondition("The document has no earlier version.", reason="NO_EARLIER_VERSION")
        raise _swept("The earlier version")

    async def _was_live(self, key: DocumentKey, version: int) -> bool:
        """Whether it was applied: rows are also kept of versions that were overtaken before they were. Those are swept
        after the grace period, long before the ledger forgets them: what it does not know was served until lately."""
        record = await self.ledger.find(key, version)
        return record is None or (record.state is ChangeState.APPLIED and record.kind is ChangeKind.UPSERT)

    async def _had_earlier(self, key: DocumentKey, before: int) -> bool:
        def is_earlier(record: ChangeRecord) -> bool:
            applied = record.state is ChangeState.APPLIED and record.kind is ChangeKind.UPSERT
            return applied and record.version < before

        return any(is_earlier(record) for record in await self.ledger.newest(key, limit=_NEWEST))

    async def _upsert(self, document: ChunkedDocument, head: Head) -> Upsert:
        origin = document.origin
        assert origin is not None
        if not await self.objects.exists(origin.object_key):
            raise FailedPrecondition(
                "The bytes of that version are no longer in the object store; put the document again.",
                reason="CONTENT_MISSING",
            )
        draft = Draft(
            document_id=document.key.document_id,
            filename=origin.filename,
            media_type=origin.media_type,
            title=document.title,
            doc_type=document.doc_type,
            uri=document.uri,
            metadata=document.metadata,
            principals=head.principals,
            security_level=head.access.security_level,
            expires_at=head.expires_at,
        )
        return Upsert(draft, StoredContent(origin.object_key, origin.content_sha256, origin.size_bytes))


def _serves(head: Head, version: int) -> bool:
    return head.state is HeadState.LIVE and head.chunks_version == version


def _swept(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{what} is no longer kept: its chunks were swept after the grace period. Put the document again.",
        reason="VERSION_SWEPT",
    )


def _pending() -> FailedPrecondition:
    return FailedPrecondition(
        "Another change of the document waits to be applied; try again when it is.", reason="CHANGES_PENDING"
    )
