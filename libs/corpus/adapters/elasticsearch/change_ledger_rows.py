"""The three kinds of documents in the change ledger's index.

    change    by (tenant, document, version): the record. Created once, so that a version names one change.
    event     by event id: which change it names. Created once, so that an id names one change.
    newest    by (tenant, document): its greatest versions. Replaced by compare-and-set.

They share one index, and so one write to disk per accepted change. Only a change has a document id and a state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.documents import document_id
from chassis.elasticsearch.indexes import IndexSpec
from corpus.domain import ChangeKind, ChangeRecord, ChangeState, DocumentKey

ALIAS: Final = "changes"
KEPT_VERSIONS: Final = 64
"""Greatest versions that a document's ``newest`` holds: what is asked for of one document is less as a rule."""

_STORED: Final = {"type": "object", "enabled": False}
_SORTED: Final = {"type": "long", "index": False}
SPEC: Final = IndexSpec(
    ALIAS,
    {
        "tenant_id": {"type": "keyword", "doc_values": False},
        "document_id": {"type": "keyword", "doc_values": False},
        "state": {"type": "keyword"},
        "event_id": {"type": "keyword", "index": False},
        "version": _SORTED,
        "accepted_at": _SORTED,
        "finished_at": _SORTED,
        "details": _STORED,
        "change": _STORED,
        "versions": _STORED,
    },
    # Reads that search refresh before, so a refresh on its own only bounds what waits in memory.
    {"index": {"refresh_interval": "5s"}},
)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def change_id(key: DocumentKey, version: int) -> str:
    """``_id`` of a change."""
    return document_id("change", key.tenant_id, key.document_id, str(version))


def event_row_id(event_id: str) -> str:
    """``_id`` of an event."""
    return document_id("event", event_id)


def newest_id(key: DocumentKey) -> str:
    """``_id`` of a document's newest versions."""
    return document_id("newest", key.tenant_id, key.document_id)


def change_row(record: ChangeRecord) -> Mapping[str, Any]:
    """A record as it is stored. Times are microseconds, and versions integers, which JSON keeps exactly."""
    row: dict[str, Any] = {
        "tenant_id": record.key.tenant_id,
        "document_id": record.key.document_id,
        "state": record.state.value,
        "event_id": record.event_id,
        "version": record.version,
        "accepted_at": to_micros(record.accepted_at),
        "details": {
            "kind": record.kind.value,
            "fingerprint": record.fingerprint,
            "reason": record.reason,
            "message": record.message,
            "attempts": record.attempts,
            "trace_id": record.trace_id,
            "replays": record.replays,
        },
    }
    if record.finished_at is not None:
        row["finished_at"] = to_micros(record.finished_at)
    return row


def event_row(record: ChangeRecord) -> Mapping[str, Any]:
    """Names the change of an event."""
    return {"tenant_id": record.key.tenant_id, "change": {"id": change_id(record.key, record.version)}}


def newest_row(key: DocumentKey, versions: Sequence[int]) -> Mapping[str, Any]:
    """The greatest versions of a document."""
    return {"tenant_id": key.tenant_id, "versions": {"greatest_first": list(versions)}}


def record_of(row: Mapping[str, Any]) -> ChangeRecord:
    """Inverse of ``change_row``."""
    details = row["details"]
    finished_at = row.get("finished_at")
    return ChangeRecord(
        event_id=row["event_id"],
        key=DocumentKey(row["tenant_id"], row["document_id"]),
        version=row["version"],
        kind=ChangeKind(details["kind"]),
        state=ChangeState(row["state"]),
        accepted_at=from_micros(row["accepted_at"]),
        fingerprint=details["fingerprint"],
        finished_at=None if finished_at is None else from_micros(finished_at),
        reason=details["reason"],
        message=details["message"],
        attempts=details["attempts"],
        trace_id=details["trace_id"],
        replays=details.get("replays", 0),
    )


def versions_of(row: Mapping[str, Any]) -> tuple[int, ...]:
    """What ``newest_row`` was made from."""
    return tuple(row["versions"]["greatest_first"])


def with_version(versions: Sequence[int], version: int) -> tuple[int, ...]:
    """The greatest versions once ``version`` is one of them; the same ones when it is too small to be kept."""
    return tuple(sorted({*versions, version}, reverse=True)[:KEPT_VERSIONS])


def without_version(versions: Sequence[int], version: int) -> tuple[int, ...]:
    """The greatest versions once ``version`` is none of them."""
    return tuple(known for known in versions if known != version)


@dataclass(frozen=True, slots=True)
class Newest:
    """A document's greatest versions, and what tells whether they are still those."""

    versions: tuple[int, ...]
    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class Known:
    """A change as it was when it was read or written."""

    record: ChangeRecord
    seq_no: int
    primary_term: int


class Recent(Generic[K, V]):
    """The values that were set last, a bounded number of them. What they save is a read; nothing relies on them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, if it is still remembered."""
        return self._values.get(key)

    def set(self, key: K, value: V | None) -> None:
        """Remembers a value, or with None forgets it."""
        self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def pop(self, key: K) -> V | None:
        """The value, which is forgotten."""
        return self._values.pop(key, None)
