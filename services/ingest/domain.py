"""Nouns and pure functions of ingestion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from corpus.domain import ChangeKind, ChangeState, DocumentKey, Metadata, Tenant
from corpus.metadata import metadata_to_json


class Lane(StrEnum):
    """How soon a change is wanted."""

    LIVE = "live"
    BULK = "bulk"
    """A backfill: takes what live changes leave free."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document as a caller describes it, validated. ``version`` 0: the service assigns one."""

    document_id: str
    version: int = 0
    filename: str = ""
    media_type: str = ""
    title: str = ""
    doc_type: str = ""
    uri: str = ""
    metadata: Metadata = field(default_factory=dict)
    principals: tuple[str, ...] = ()
    security_level: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Bytes that are in the object store."""

    object_key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Upsert:
    """The document's content and description from a version on."""

    draft: Draft
    content: StoredContent

    kind: ClassVar[ChangeKind] = ChangeKind.UPSERT


@dataclass(frozen=True, slots=True)
class Delete:
    """The document is gone from a version on."""

    kind: ClassVar[ChangeKind] = ChangeKind.DELETE


@dataclass(frozen=True, slots=True)
class SetAccess:
    """The document's readers from a version on."""

    principals: tuple[str, ...]
    security_level: int

    kind: ClassVar[ChangeKind] = ChangeKind.SET_ACCESS


Change = Upsert | Delete | SetAccess


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """One event: a change of one document at one version."""

    event_id: str
    key: DocumentKey
    version: int
    accepted_at: datetime
    change: Change
    replay: int = 0
    """How often an operator has had it tried again."""

    @property
    def kind(self) -> ChangeKind:
        """Which of the three changes it is."""
        return self.change.kind


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a caller gets for an accepted change. ``unchanged``: nothing was appended, because nothing differs."""

    event_id: str
    document_id: str
    version: int
    unchanged: bool
    trace_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the handling of one event ended."""

    state: ChangeState
    reason: str = ""
    message: str = ""


TENANT_GONE = Outcome(ChangeState.SUPERSEDED, "UNKNOWN_TENANT", "The tenant was deleted after the change was accepted.")
"""End of a change whose tenant is no longer there."""


def belongs_to(event: DocumentChange, tenant: Tenant | None) -> bool:
    """Whether the tenant that has the event's id is the one that it was accepted for. A tenant may be deleted, and
    another one created under its name, while events wait; the later one has another id, except where the earlier one
    was deleted by a release that used ids again."""
    return tenant is not None and tenant.created_at <= event.accepted_at


def content_key(tenant_id: str, sha256: str) -> str:
    """Object key of a document's bytes: the same bytes of one tenant are stored once."""
    return f"documents/{tenant_id}/{sha256[:2]}/{sha256}"


def collected_key(object_key: str) -> str:
    """Where an object lies for a while that nothing named any more."""
    return f"collected/{object_key}"


def fingerprint(change: Change) -> str:
    """SHA-256 over everything a change says: two changes are the same change when their fingerprints agree."""
    match change:
        case Upsert(draft=draft, content=content):
            said: list[object] = [
                "upsert",
                content.sha256,
                description_sha256(draft),
                sorted(draft.principals),
                draft.security_level,
                draft.expires_at.isoformat() if draft.expires_at else None,
            ]
        case Delete():
            said = ["delete"]
        case SetAccess(principals=principals, security_level=level):
            said = ["set_access", sorted(principals), level]
    return _sha256_of(said)


def description_sha256(draft: Draft, settings: Mapping[str, str] | None = None) -> str:
    """SHA-256 over what shapes the chunks besides the bytes; ``settings`` are the chunker's."""
    return _sha256_of(
        [
            draft.filename,
            draft.media_type,
            draft.title,
            draft.doc_type,
            draft.uri,
            metadata_to_json(draft.metadata),
            dict(settings or {}),
        ]
    )


def _sha256_of(said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
