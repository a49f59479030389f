"""What a record of a source says, once it is mapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest.domain import Lane


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record as it was received."""

    key: bytes
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """Bytes that are still in the source's bucket."""

    source: str
    key: str


@dataclass(frozen=True, slots=True)
class Described:
    """A document as its source describes it, not validated yet. No readers: nobody reads it."""

    content: bytes | RemoteObject
    filename: str = ""
    media_type: str = ""
    title: str = ""
    doc_type: str = ""
    uri: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    readers: tuple[str, ...] = ()
    security_level: int = 0
    lane: Lane = Lane.LIVE


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One change of one document. ``document`` None: it was deleted at the source."""

    source: str
    tenant_id: str
    document_id: str
    version: int
    document: Described | None
