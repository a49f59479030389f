"""Nouns of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class StoreName(StrEnum):
    """Where a difference is."""

    VECTOR = "vector"
    LEXICAL = "lexical"
    CHUNKS = "chunks"
    OBJECTS = "objects"


INDEXES = (StoreName.VECTOR, StoreName.LEXICAL)


class DifferenceKind(StrEnum):
    """What is wrong."""

    MISSING = "missing"
    """A head names it, and it is not there."""
    STALE = "stale"
    """It is of a version that was superseded longer ago than the grace period, or was made from another text than the
    chunk store holds."""
    ORPHAN = "orphan"
    """No head ever named it, and no write can be under way that is about to."""
    DUPLICATE = "duplicate"
    """It is there twice, or besides the chunks that its version has."""
    ACCESS = "access_mismatch"
    """Its readers are not those of the head."""
    UNREFERENCED = "unreferenced"
    """Bytes that nothing names, older than the safety age."""


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One thing in one store that is not as the head says. ``chunk_id`` is empty where a whole version is meant,
    ``object_key`` names an object."""

    kind: DifferenceKind
    store: StoreName
    tenant_id: str
    document_id: str = ""
    chunks_version: int = 0
    generation: str = ""
    chunk_id: str = ""
    object_key: str = ""


@dataclass(slots=True)
class Suspect:
    """A document that looked different in passing, and what of it nothing explained then."""

    document_id: str
    rows: dict[tuple[StoreName, str], set[str]] = field(default_factory=dict)
    """(index, generation) → chunk ids."""
    versions: set[tuple[int, str]] = field(default_factory=set)
    """(chunks_version, generation) in the chunk store that no head names, past the grace period."""

    def add_row(self, store: StoreName, generation: str, chunk_id: str) -> None:
        """Notes a row to be looked at again."""
        self.rows.setdefault((store, generation), set()).add(chunk_id)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit of one tenant found.

    Attributes:
        found: Every confirmed difference, in order.
        left: Those that are still there after a repair; all of them without one.
        unsettled: Documents that were changing all the time, so that nothing is said of them.
        unrepairable: Reason → differences that a repair could not mend.
        rows: Rows read by store.
        buckets_left: Buckets that differ and were not listed, because one audit holds only so many rows: audit again
            after a repair.
    """

    tenant_id: str
    started_at: datetime
    finished_at: datetime
    documents: int
    buckets: int
    buckets_listed: int
    buckets_left: int
    rows: Mapping[StoreName, int]
    found: Sequence[Difference]
    left: Sequence[Difference]
    unsettled: int
    unrepairable: Mapping[str, int]
    repaired: bool

    @property
    def counts(self) -> Mapping[tuple[DifferenceKind, StoreName], int]:
        """Confirmed differences by kind and store."""
        return Counter((each.kind, each.store) for each in self.found)
