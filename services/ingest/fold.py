"""What a document's head must be, from what is known of its changes.

Sources, the best first: the changes themselves, applied in the order of their versions; the head as the feed last told
it; the stored chunks, with the ledger's word that the document is live. Which changes count is the ledger's word too:
only what was applied, and of several with one version the one that it took, which need not be the first in the log. A
source is believed only if it is about the newest applied version, because an older one may name readers who have lost
their access since. Without a source for readers a document comes back for nobody, and nobody gets back what a change of
access that waits has taken already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from corpus.access import access_tokens
from corpus.domain import AccessPolicy, ChangeKind, ChangeRecord, ChangeState, PublishedHead
from corpus.ports import StoredVersion
from ingest.domain import Delete, DocumentChange, SetAccess, StoredContent, Upsert, description_sha256, fingerprint


@dataclass(slots=True)
class Known:
    """Everything that is left of one document."""

    said: dict[int, list[DocumentChange]] = field(default_factory=dict)
    """Version → the changes in the log that have it."""
    changes: dict[int, DocumentChange] = field(default_factory=dict)
    """Version → the one that counts; see ``settle``."""
    published: PublishedHead | None = None
    versions: list[StoredVersion] = field(default_factory=list)
    records: Sequence[ChangeRecord] = ()

    def hear(self, told: PublishedHead | None) -> None:
        """Takes the next record of the feed in. Late ones repeat what is past."""
        if told is None or self.published is None or told.version >= self.published.version:
            self.published = told

    def settle(self, records: Sequence[ChangeRecord]) -> None:
        """Takes the ledger's word on which of the changes in the log count. Where the applied one is not in the log, or
        can't be told from others, it and all before it are left out: without it they are not what the document was."""
        self.records, self.changes = records, {}
        taken = {record.version: record for record in records}
        for version, said in self.said.items():
            record = taken.get(version)
            fitting = [each for each in said if record is None or record.fingerprint in ("", fingerprint(each.change))]
            if len({fingerprint(each.change) for each in fitting}) == 1:
                self.changes[version] = replace(fitting[0], event_id=record.event_id) if record else fitting[0]
        applied = {record.version for record in records if record.state is ChangeState.APPLIED}
        unknown = max((applied | (self.said.keys() - taken.keys())) - self.changes.keys(), default=0)
        self.changes = {version: change for version, change in self.changes.items() if version > unknown}


@dataclass(frozen=True, slots=True)
class Folded:
    """A document after its changes. ``upsert`` is None for one that is deleted, ``readers_known`` false for one that
    comes back for nobody."""

    version: int
    event_id: str
    changed_at: datetime
    upsert: Upsert | None
    content_version: int = 0
    principals: tuple[str, ...] = ()
    security_level: int = 0


def newest_applied(known: Known) -> int:
    """Version of the newest change that counts; 0 when nothing is known of any."""
    applied = [record.version for record in known.records if record.state is ChangeState.APPLIED]
    if applied:
        return max(applied)
    told = known.published.version if known.published else 0
    return max((*(each.version for each in counted(known)), told), default=0)


def was_deleted(known: Known, version: int) -> bool:
    """Whether the ledger says that the newest applied change is a delete."""
    return any(record.version == version and record.kind is ChangeKind.DELETE for record in known.records)


def counted(known: Known) -> Sequence[DocumentChange]:
    """The changes that were applied, in the order of versions. What the ledger has forgotten counts: it came to some
    end, and whatever did not outlive it is overtaken by greater versions."""
    states: Mapping[int, ChangeState] = {record.version: record.state for record in known.records}
    return [
        known.changes[version]
        for version in sorted(known.changes)
        if states.get(version, ChangeState.APPLIED) is ChangeState.APPLIED
    ]


def narrowed(access: AccessPolicy, known: Known, tenant_id: str, version: int) -> AccessPolicy:
    """What pending changes of access leave of the readers of this version: they may wait for content, and have taken
    effect when they began to (``ApplyChange.take_readers``). Of one that the log does not have, nothing is left."""
    for record in known.records:
        if record.kind is ChangeKind.SET_ACCESS and record.state is ChangeState.PENDING and record.version > version:
            event = known.changes.get(record.version)
            waiting = event.change if event is not None else None
            principals, level = (
                (waiting.principals, waiting.security_level) if isinstance(waiting, SetAccess) else ((), 0)
            )
            tokens = access.tokens & access_tokens(tenant_id, principals)
            access = AccessPolicy(tokens, max(access.security_level, level))
    return access


def fold(known: Known, generation: str) -> Folded | None:
    """The document after all its changes; None when the log does not reach back to an upsert or a delete, or does not
    have the newest applied change."""
    made: Folded | None = None
    for event in counted(known):
        match event.change:
            case Upsert() as upsert:
                made = _after_upsert(event, upsert, made, generation)
            case Delete():
                made = Folded(event.version, event.event_id, event.accepted_at, None)
            case SetAccess(principals=principals, security_level=level):
                if made is not None:
                    made = Folded(
                        event.version,
                        event.event_id,
                        event.accepted_at,
                        made.upsert,
                        made.content_version,
                        principals,
                        level,
                    )
    return made if made is not None and made.version == newest_applied(known) else None


def _after_upsert(event: DocumentChange, upsert: Upsert, before: Folded | None, generation: str) -> Folded:
    unchanged = (
        before is not None
        and before.upsert is not None
        and before.upsert.content.sha256 == upsert.content.sha256
        and _described(before.upsert, generation) == _described(upsert, generation)
    )
    content_version = before.content_version if before is not None and unchanged else event.version
    draft = upsert.draft
    return Folded(
        event.version,
        event.event_id,
        event.accepted_at,
        upsert,
        content_version,
        draft.principals,
        draft.security_level,
    )


def _described(upsert: Upsert, generation: str) -> str:
    return description_sha256(upsert.draft, {"generation": generation})


def stored_version(
    versions: Sequence[StoredVersion], wanted: int, content: StoredContent | None, generation: str
) -> StoredVersion | None:
    """The version whose rows hold this content: the wanted one, or the newest before it with the same bytes. Of two
    generations that of this name."""
    at_most = [each for each in versions if each.chunks_version <= wanted]
    for each in sorted(at_most, key=lambda one: (one.chunks_version, one.generation == generation), reverse=True):
        if each.chunks_version == wanted or (content is not None and each.object_key == content.object_key):
            return each
    return None
