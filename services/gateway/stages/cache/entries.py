"""What is kept, and how it is written down. Bytes that are no entry are None, whatever they are."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from gateway.conflicts import Conflict
from gateway.domain import Citation, Usage
from gateway.stages.cache.ports import Standing
from gateway.support import SentenceSupport

_VECTOR: Final = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer and all that has to be the same for it to be served again.

    Attributes:
        key: What it is kept under; an entry that was moved is none.
        context: Digest of who asked and how; see ``context``.
        access, generation: See ``Standing``.
        until: Seconds since 1970; not served from then on.
        usage: What it took to write it.
        generator: Who wrote it, where that was not the one that was asked.
        support: Of its sentences, as they were verified.
        conflicts: Of its sources.
    """

    key: str
    context: str
    access: str
    generation: str
    until: float
    text: str
    confidence: float
    citations: tuple[Citation, ...]
    usage: Usage
    generator: str
    support: tuple[SentenceSupport, ...]
    conflicts: tuple[Conflict, ...] = ()

    def stands(self, standing: Standing) -> bool:
        """Whether nothing that it rests on has changed."""
        return (
            len(standing.readable) == len(self.citations) > 0
            and all(standing.readable)
            and standing.access == self.access != ""
            and standing.generation == self.generation != ""
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A question that was answered: its vector in base64, and the key of its entry."""

    vector: str
    entry: str

    @classmethod
    def of(cls, vector: NDArray[np.float32], entry: str) -> Row:
        """The row of a vector (d,) float32."""
        return cls(base64.b64encode(vector.astype(_VECTOR).tobytes()).decode("ascii"), entry)

    def similarity(self, vector: NDArray[np.float32]) -> float:
        """Cosine with ``vector``; −1 for a row that can't be compared."""
        try:
            own = np.frombuffer(base64.b64decode(self.vector, validate=True), _VECTOR)
        except (binascii.Error, ValueError):
            return -1.0
        if own.shape != vector.shape or not np.isfinite(own).all():
            return -1.0
        length = float(np.linalg.norm(own) * np.linalg.norm(vector))
        return float(own @ vector) / length if length > 0 else -1.0


_ENTRY: Final = TypeAdapter(Entry)
_ROWS: Final = TypeAdapter(tuple[Row, ...])


def entry_of(value: bytes | None) -> Entry | None:
    """The entry that was written down."""
    if value is None:
        return None
    try:
        return _ENTRY.validate_json(value)
    except ValidationError:
        return None


def entry_bytes(entry: Entry) -> bytes:
    """The entry, written down."""
    return _ENTRY.dump_json(entry)


def rows_of(value: bytes | None) -> tuple[Row, ...]:
    """The rows that were written down."""
    if value is None:
        return ()
    try:
        return _ROWS.validate_json(value)
    except ValidationError:
        return ()


def rows_bytes(rows: tuple[Row, ...]) -> bytes:
    """The rows, written down."""
    return _ROWS.dump_json(rows)
