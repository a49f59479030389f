"""Ports of the corpus.

Nouns
    **Generation**: name of an index set (model + chunker + analyser); every index call names one. **Prefilter**: what
    a leg must apply before ranking: tenant, access, clearance, metadata filter. It is a superset of what may be
    served: the head decides.
    **Row**: one chunk in one index.

Rules for every method here
    Nothing blocks the event loop. A store that can't be reached or fails raises DependencyUnavailable, and a write
    that raised has an
    *unknown* outcome; all writes are idempotent, because ids and versions are the caller's. Nothing of one tenant is
    ever visible to a call for another. A write that returned is durable, and visible to every reader (also in other
    processes) whose call begins within the adapter's stated refresh time afterwards (embedded: 50 ms; heads: at once).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from corpus.domain import (
    ChangeRecord,
    ChangeState,
    Chunk,
    ChunkedDocument,
    DocumentKey,
    FieldType,
    Generation,
    Head,
    Hold,
    Section,
    ServedHead,
    StoredRow,
    Tenant,
)
from corpus.generation_plan import GenerationPlan
from corpus.index_ports import SCAN_PAGE as SCAN_PAGE
from corpus.index_ports import LexicalIndex as LexicalIndex
from corpus.index_ports import Prefilter as Prefilter
from corpus.index_ports import VectorIndex as VectorIndex


class PutOutcome(StrEnum):
    """What a head write did."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    """Something newer is there; nothing was written."""


@dataclass(frozen=True, slots=True)
class HeadCounts:
    """Live documents, chunks and tokens of a tenant."""

    documents: int
    chunks: int
    tokens: int


class HeadReads(Protocol):
    """What is live, for those who check it. A replica answers as of a moment within its stated bound ago; see
    ``corpus.replica``."""

    async def get(self, key: DocumentKey) -> ServedHead | None:
        """The head, a tombstone included, as of now; None when the document was never written."""
        ...

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, ServedHead]:
        """Heads by document id, tombstones included, as of now; unknown ids are left out."""
        ...


class Heads(HeadReads, Protocol):
    """The authority on what is live."""

    async def get(self, key: DocumentKey) -> Head | None:
        """The whole head; see ``HeadReads``."""
        ...

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        """Whole heads; see ``HeadReads``."""
        ...

    async def put(self, head: Head) -> PutOutcome:
        """Writes the head, but for ``held``, unless one with a greater version is there (compare ≥, atomic).
        Idempotent: the same head again is APPLIED. A tombstone takes part in the comparison like any head and is kept
        until ``purge``."""
        ...

    async def list(
        self, tenant_id: str, *, after: str = "", prefix: str = "", limit: int = 100, include_deleted: bool = False
    ) -> Sequence[Head]:
        """Heads in the byte order of document ids, those after ``after`` and with ``prefix``, at most ``limit``."""
        ...

    async def counts(self, tenant_id: str) -> HeadCounts: ...

    async def purge(self, key: DocumentKey, version: int) -> None:
        """Forgets a tombstone if it still has this version. Only after the log's retention. Idempotent."""
        ...

    async def set_hold(self, hold: Hold) -> PutOutcome:
        """Writes the hold unless one of the same or a greater version says something else (atomic): it is SUPERSEDED
        then. Idempotent: the same hold again is APPLIED. Independent of heads in both directions: it needs none, every
        ``put`` and ``purge`` leaves it, and every head that is read from now on tells of it in ``held``."""
        ...

    async def hold(self, key: DocumentKey) -> Hold | None:
        """What was said last of the document's hold, as of now; None when nothing ever was."""
        ...

    async def holds(
        self, tenant_id: str, *, after: str = "", limit: int = 100, include_released: bool = False
    ) -> Sequence[Hold]:
        """Holds in the byte order of document ids, those after ``after``, at most ``limit``."""
        ...

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's heads and holds. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with the description of its document's version, as a search hit needs it."""

    chunk: Chunk
    title: str
    doc_type: str
    uri: str
    language: str
    metadata: Mapping[str, object]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of one document in the chunk store, when it was stored last, of which bytes ("" if unknown), and
    whether all its rows are known to be in the indexes."""

    document_id: str
    chunks_version: int
    generation: str
    stored_at: datetime
    object_key: str = ""
    sealed: bool = False


class ChunkStore(Protocol):
    """Payloads of chunks and sections by id. Knows nothing of access: callers check heads first."""

    async def put(self, document: ChunkedDocument) -> None:
        """Stores a version's sections and chunks, replacing what was stored for the same (key, chunks_version,
        generation). It is not sealed then."""
        ...

    async def seal(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Notes that the rows of a stored version are in both indexes, all of them; no effect on a version that is not
        stored. Idempotent."""
        ...

    async def get_chunks(self, tenant_id: str, chunk_ids: Collection[str]) -> Mapping[str, StoredChunk]:
        """Chunks by id; unknown ids are left out."""
        ...

    async def get_sections(
        self, tenant_id: str, wanted: Collection[tuple[str, int, str, int]]
    ) -> Mapping[tuple[str, int, str, int], Section]:
        """Sections by (document_id, chunks_version, generation, section ordinal); unknown ones are left out."""
        ...

    async def chunks_of(self, key: DocumentKey, chunks_version: int, generation: str) -> Sequence[Chunk]:
        """All chunks of one version in order of ordinals; empty when there are none."""
        ...

    async def get_version(self, key: DocumentKey, chunks_version: int, generation: str) -> ChunkedDocument | None:
        """A version as it was put, its chunks and sections in order of ordinals; without those that were lost since.
        None when the version is not stored."""
        ...

    async def rows_of(self, tenant_id: str, versions: Collection[tuple[str, int, str]]) -> Sequence[StoredRow]:
        """The chunks that are really there of versions, each (document_id, chunks_version, generation), in no
        particular order; unknown versions have none."""
        ...

    async def versions_of(self, key: DocumentKey) -> Sequence[tuple[int, str]]:
        """(chunks_version, generation) pairs stored for the document, oldest first."""
        ...

    async def stored_versions(self, tenant_id: str, *, after: str = "", limit: int = 500) -> Sequence[StoredVersion]:
        """Every stored version of the documents whose ids follow ``after`` in byte order: whole documents, at least
        one and about ``limit`` rows. Empty at the end."""
        ...

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Removes one version's sections and chunks. Idempotent."""
        ...

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes everything of the tenant. Idempotent."""
        ...


class EmbeddingCache(Protocol):
    """Vectors by (model, SHA-256 of the text that was embedded). May forget anything at any time; failures read as
    misses."""

    async def get_many(self, model: str, text_hashes: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float32]]:
        """(d,) float32 vectors by hash, exactly as they were put; unknown ones are left out."""
        ...

    async def put_many(self, model: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Aged:
    """One step of ageing the ledger: how many changes were removed, and where to go on (None at the end)."""

    removed: int
    after: tuple[datetime, str] | None


class ChangeLedger(Protocol):
    """What became of every accepted event. One row per event id; a terminal state is final, but for dead letters, which
    operators decide on."""

    async def accept(self, record: ChangeRecord) -> ChangeRecord:
        """Records a PENDING change; its event is in the log already. Idempotent by event id. When (key, version) is
        known with the same fingerprint, returns that earlier record instead; raises Conflict VERSION_CONFLICT when its
        fingerprint differs."""
        ...

    async def finish(
        self, event_id: str, state: ChangeState, *, at: datetime, reason: str = "", message: str = "", attempts: int = 0
    ) -> None:
        """Sets a terminal state, unless one is set: the first one stays. Unknown ids are ignored (their row was aged
        out)."""
        ...

    async def note_failure(self, event_id: str, *, reason: str, message: str, attempts: int) -> None:
        """Notes why a pending change is not applied yet. No effect once a terminal state is set."""
        ...

    async def reopen(self, event_id: str, *, replay: int) -> ChangeRecord | None:
        """Makes a dead-lettered change pending again, for the ``replay``-th time: its reason and attempts stay, and its
        message after ``TRIED_AGAIN``. No effect unless it is dead-lettered and was replayed fewer times, so the call is
        idempotent, and a late one does not undo what the replay ended with. Returns the record as it is then; None for
        an unknown id."""
        ...

    async def discard(self, event_id: str, *, at: datetime, message: str) -> ChangeRecord | None:
        """Makes a dead-lettered change a discarded one; reason and attempts stay. No effect in any other state.
        Idempotent. Returns the record as it is then; None for an unknown id."""
        ...

    async def get_many(self, tenant_id: str, event_ids: Collection[str]) -> Mapping[str, ChangeRecord]: ...

    async def find(self, key: DocumentKey, version: int) -> ChangeRecord | None:
        """The change with this version, as of now; None when there is none."""
        ...

    async def newest(self, key: DocumentKey, limit: int = 20) -> Sequence[ChangeRecord]:
        """The document's changes, greatest version first."""
        ...

    async def latest_versions(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, int]:
        """Greatest accepted version by document id; unknown ids are left out."""
        ...

    async def oldest_pending(
        self, tenant_id: str, limit: int, *, after: tuple[datetime, str] | None = None
    ) -> Sequence[ChangeRecord]:
        """Pending changes in the order of their acceptance, equal times by event id: those that follow ``after`` (time
        and id of the last one of a page), at most ``limit``. Any number of them can be listed page by page."""
        ...

    async def newest_dead_letters(self, tenant_id: str, limit: int) -> Sequence[ChangeRecord]: ...

    async def counts(self, tenant_id: str) -> Mapping[ChangeState, int]:
        """Changes by state; states without any are left out."""
        ...

    async def age_out(
        self,
        tenant_id: str,
        finished_before: datetime,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 500,
    ) -> Aged:
        """Looks at up to ``limit`` changes that ended before that moment, the oldest ends first, equal ones by event
        id, from ``after`` on, and removes them, except dead letters, which wait for an operator, and each document's
        greatest version, which tells whether a next one is news. Idempotent."""
        ...

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's rows. Idempotent."""
        ...


class Tenants(Protocol):
    """Registry of tenants and their declared metadata fields.

    Callers know a tenant by its *name*, which may be used again after the tenant was deleted; everything else knows it
    by its *id*, which may not: what is written late for a tenant that is gone never meets a later one of its name
    (docs/adr/0011)."""

    async def create(self, name: str, fields: Mapping[str, FieldType], *, at: datetime) -> Tenant:
        """Creates the tenant of this name or adds fields to the one that is there. Idempotent. A new tenant has an id
        that none before it had: the first one of a name its name, each later one its name with the next number. Raises
        FailedPrecondition: FIELD_TYPE_CONFLICT when a declared (or built-in) field has another type, TENANT_NAME_SPENT
        when the name is too long for another number; and then changes nothing."""
        ...

    async def get(self, tenant_id: str) -> Tenant | None:
        """The tenant with this id, as of now; None when it is gone, whoever has its name since."""
        ...

    async def named(self, name: str) -> Tenant | None:
        """The tenant that has this name, as of now; None when none has it. No id with a number is a name."""
        ...

    async def latest_id(self, name: str) -> str:
        """Id of the tenant that has this name, or else had it last; the name itself when none ever had it. Raises
        InvalidRequest INVALID_TENANT_ID for what can't be a name."""
        ...

    async def list(self) -> Sequence[Tenant]:
        """All tenants by id."""
        ...

    async def set_rebuilding(self, tenant_id: str, store: str, under_way: bool) -> None:
        """Notes that a store of the tenant's is being rebuilt, or is complete again. Idempotent, and independent of
        what is noted of others at the same time; without effect on a tenant that is not there."""
        ...

    async def delete(self, tenant_id: str) -> None:
        """Forgets the tenant with this id, and remembers that the id was used; a later tenant of its name stays.
        Idempotent. Its data is removed through the other ports."""
        ...


class Generations(Protocol):
    """Registry of generations. Exactly one is active, which is searched; see ``corpus.generation_plan``."""

    async def activate(self, generation: Generation) -> None:
        """Makes the generation the active one and the only one that is kept, unless it is the active one already.
        Idempotent. For the first one; later ones come by ``change``."""
        ...

    async def active(self) -> Generation | None: ...

    async def plan(self) -> GenerationPlan | None:
        """The plan as of now; None before the first generation."""
        ...

    async def change(self, plan: GenerationPlan) -> bool:
        """Replaces the plan if the one that is there has the revision before ``plan``'s (atomic); False when it has
        another one, and then nothing changed. After an unknown outcome the plan says what became of it."""
        ...

    async def note(self, generation: str, about: str, text: str) -> None:
        """Keeps a text about a generation, of which only what was written last counts: what progress was made, what a
        comparison showed. Idempotent."""
        ...

    async def noted(self, generation: str, about: str) -> str:
        """The text; "" when there is none."""
        ...

    async def forget(self, generation: str) -> None:
        """Removes all texts about the generation. Idempotent."""
        ...
