"""Nouns of the corpus. Everything here is immutable and free of I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from corpus.ids import name_of_tenant

MAX_VERSION = 2**63 - 1
"""Greatest document version: the largest external version that both Elasticsearch and SQLite can compare."""

MetadataScalar = str | float | bool | datetime
MetadataValue = MetadataScalar | tuple[str, ...] | tuple[float, ...]
"""A metadata value after validation: timestamps are aware UTC datetimes, lists are tuples, versions are strings."""

Metadata = Mapping[str, MetadataValue]


@dataclass(frozen=True, slots=True, order=True)
class DocumentKey:
    """Identity of a document."""

    tenant_id: str
    document_id: str


class HeadState(StrEnum):
    """Whether a document is served."""

    LIVE = "live"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who may read, in the form stores hold it.

    Attributes:
        tokens: Opaque access tokens (see ``corpus.access``); empty means nobody.
        security_level: Least clearance that is needed.
    """

    tokens: frozenset[str]
    security_level: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """Whether a document is kept out of what is served until somebody has looked at it (docs/review.md).

    Attributes:
        key: The document; there need not be a head of it, yet or any more.
        version: Orders what is said of the document's hold, and nothing else: it is no version of the document.
        held: False once it was released.
        changed_at: When that was said.
        by: Who said it: a caller's subject, or "rule:" and the rule.
        reason: Why, in a word of the product's ("unreadable") or of whoever said it.
    """

    key: DocumentKey
    version: int
    held: bool
    changed_at: datetime
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The one record per document that says what is live. Writing it commits a change; checking it is a read's last
    step.

    ``version`` is the newest applied change; ``chunks_version`` the version whose chunks are served (smaller than
    ``version`` after an access change or an update that left the content alone). A deleted head is a tombstone and
    keeps its version.
    """

    key: DocumentKey
    version: int
    chunks_version: int
    state: HeadState
    access: AccessPolicy
    generation: str
    event_id: str
    updated_at: datetime
    principals: tuple[str, ...] = ()
    expires_at: datetime | None = None
    title: str = ""
    doc_type: str = ""
    uri: str = ""
    language: str = ""
    filename: str = ""
    media_type: str = ""
    metadata: Metadata = field(default_factory=dict)
    content_sha256: str = ""
    description_sha256: str = ""
    """Hash of everything besides the bytes that shapes the chunks: title, type, URI, metadata, chunker settings."""
    object_key: str = ""
    size_bytes: int = 0
    chunk_count: int = 0
    token_count: int = 0
    ingest_trace_id: str = ""
    held: bool = False
    """Nobody is served the document, whatever else the head says. Comes from the document's ``Hold`` when a head is
    read; writing a head leaves the hold as it is."""


class ServedHead(Protocol):
    """What of a head a reader needs to decide, and to say where a passage comes from. Every ``Head`` is one; a replica
    keeps no more than this."""

    @property
    def key(self) -> DocumentKey: ...
    @property
    def version(self) -> int: ...
    @property
    def chunks_version(self) -> int: ...
    @property
    def state(self) -> HeadState: ...
    @property
    def access(self) -> AccessPolicy: ...
    @property
    def generation(self) -> str: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def ingest_trace_id(self) -> str: ...
    @property
    def held(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class PublishedHead:
    """A head as the feed carries it: a ``ServedHead``. Of a hold the feed says elsewhere: ``held`` is what a replica
    knows from the authority."""

    key: DocumentKey
    version: int
    chunks_version: int
    state: HeadState
    access: AccessPolicy
    generation: str
    expires_at: datetime | None
    ingest_trace_id: str
    held: bool = False


@dataclass(frozen=True, slots=True)
class Announcement:
    """The document's head is about to be replaced (docs/adr/0009): until there is one of ``version`` or a greater one,
    or the announcement is called off, only the authority knows what it is.

    Attributes:
        key: The document.
        announcement_id: Names it among the document's; a repeated announcement has the same one.
        version: The smallest version whose head ends it. At most ``MAX_VERSION`` + 1: what is done to a head of the
            greatest version can only be called off.
    """

    key: DocumentKey
    announcement_id: str
    version: int


@dataclass(frozen=True, slots=True)
class CalledOff:
    """Nothing that the announcement spoke of will be written any more."""

    key: DocumentKey
    announcement_id: str


def published(head: ServedHead) -> PublishedHead:
    """What of a head is published."""
    if isinstance(head, PublishedHead):
        return head
    return PublishedHead(
        head.key,
        head.version,
        head.chunks_version,
        head.state,
        head.access,
        head.generation,
        head.expires_at,
        head.ingest_trace_id,
        head.held,
    )


@dataclass(frozen=True, slots=True)
class Section:
    """Parent of chunks: one heading's text, returned as context."""

    ordinal: int
    heading_path: tuple[str, ...]
    start: int
    end: int
    text: str
    page: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """An immutable passage; ``text == extracted_text[start:end]`` in code points."""

    chunk_id: str
    key: DocumentKey
    chunks_version: int
    ordinal: int
    generation: str
    text: str
    start: int
    end: int
    section_ordinal: int
    heading_path: tuple[str, ...] = ()
    page: int = 0
    kind: str = "text"
    token_count: int = 0
    content_sha256: str = ""


@dataclass(frozen=True, slots=True)
class VersionOrigin:
    """What a version was made from, besides what the chunk store describes it by: enough to make it again.

    Attributes:
        object_key, content_sha256, size_bytes: Its bytes.
        filename, media_type: As its caller gave them.
        text_language: That its text was analysed in; of source code, not the programming language.
    """

    object_key: str
    content_sha256: str
    size_bytes: int
    filename: str
    media_type: str
    text_language: str


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """Everything of one version of one document that is written to the stores. ``origin`` is None for versions that
    were stored before there was one."""

    key: DocumentKey
    chunks_version: int
    generation: str
    title: str
    doc_type: str
    uri: str
    language: str
    metadata: Metadata
    updated_at: datetime
    sections: Sequence[Section]
    chunks: Sequence[Chunk]
    origin: VersionOrigin | None = None


@dataclass(frozen=True, slots=True)
class VectorRow:
    """One chunk as the vector index holds it. ``vector`` is (d,) float32, L2-normalised."""

    chunk_id: str
    key: DocumentKey
    chunks_version: int
    access: AccessPolicy
    metadata: Metadata
    vector: NDArray[np.float32]
    content_sha256: str = ""
    """Of the chunk's text, so that an audit can tell what the row was made from."""


@dataclass(frozen=True, slots=True)
class LexicalRow:
    """One chunk as the lexical index holds it. The terms come from ``corpus.analysis`` and are indexed as they are."""

    chunk_id: str
    key: DocumentKey
    chunks_version: int
    access: AccessPolicy
    metadata: Metadata
    title_terms: tuple[str, ...]
    heading_terms: tuple[str, ...]
    body_terms: tuple[str, ...]
    content_sha256: str = ""
    """Of the chunk's text, so that an audit can tell what the row was made from."""
    names: tuple[str, ...] = ()
    """What its document is named (``corpus.entities``)."""
    mentions: tuple[str, ...] = ()
    """Which names it mentions."""


class IndexedRow(NamedTuple):
    """What an audit sees of a row of an index. ``access``: ``corpus.access.policy_fingerprint``."""

    chunk_id: str
    document_id: str
    chunks_version: int
    content_sha256: str
    access: str


class StoredRow(NamedTuple):
    """What an audit sees of a chunk in the chunk store."""

    chunk_id: str
    document_id: str
    chunks_version: int
    generation: str
    content_sha256: str


class Candidate(NamedTuple):
    """A chunk that a leg found. ``score``: cosine similarity (vector leg) or BM25 (lexical leg), greater is better.

    A named tuple, unlike the other nouns: a search makes hundreds, and a frozen dataclass takes five times as long.
    """

    chunk_id: str
    document_id: str
    chunks_version: int
    score: float


class FieldType(StrEnum):
    """Type of a declared metadata field."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    VERSION = "version"
    STRING_LIST = "string_list"
    NUMBER_LIST = "number_list"


BUILT_IN_FIELDS: Mapping[str, FieldType] = {
    "document_id": FieldType.STRING,
    "doc_type": FieldType.STRING,
    "language": FieldType.STRING,
    "title": FieldType.STRING,
    "uri": FieldType.STRING,
    "updated_at": FieldType.TIMESTAMP,
}
"""Fields every tenant can filter on; the worker fills them, and no tenant can declare them otherwise."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """An isolated customer and the metadata fields it can filter on (besides the built-in ones). ``tenant_id``: names
    it among all tenants there ever were. ``rebuilding``: stores ("vector", "lexical", "heads") that lack rows until a
    rebuild is done, so that searches say so."""

    tenant_id: str
    fields: Mapping[str, FieldType]
    created_at: datetime
    rebuilding: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What its callers know it by; a later tenant may have the same name."""
        return name_of_tenant(self.tenant_id)


@dataclass(frozen=True, slots=True)
class Generation:
    """Embedding model + chunker + analyser settings. Stores hold one index per generation.

    ``name`` is derived from the other fields, so equal settings give the same generation.
    """

    name: str
    model_id: str
    model_revision: str
    dimensions: int
    chunker: str
    analyser: str


class ChangeKind(StrEnum):
    """What a change does."""

    UPSERT = "upsert"
    DELETE = "delete"
    SET_ACCESS = "set_access"


class ChangeState(StrEnum):
    """What became of an accepted change; every one but PENDING is terminal."""

    PENDING = "pending"
    APPLIED = "applied"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    DEAD_LETTERED = "dead_lettered"
    """The event is bad. Terminal unless an operator has it tried again."""
    DISCARDED = "discarded"
    """A dead letter that an operator gave up for good."""


TRIED_AGAIN = "Tried again. Before: "
"""Begins the message of a pending change that was a dead letter, until its next attempt ends."""


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """An accepted change and what became of it."""

    event_id: str
    key: DocumentKey
    version: int
    kind: ChangeKind
    state: ChangeState
    accepted_at: datetime
    fingerprint: str = ""
    """Hash of content and description: tells whether a second put of the same version is the same change."""
    finished_at: datetime | None = None
    reason: str = ""
    message: str = ""
    attempts: int = 0
    """Over all replays."""
    trace_id: str = ""
    replays: int = 0
    """How often it was tried again after it had become a dead letter."""
