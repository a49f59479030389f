"""Port of the object store: immutable bytes under keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """What a listing says of an object. ``modified_at`` is when it was put last, by the store's clock."""

    key: str
    size_bytes: int
    modified_at: datetime


class ObjectStore(Protocol):
    """Bytes under keys ("a/b/c", printable ASCII, no "..", not beginning with "/").

    Objects here are immutable by convention: their keys contain a hash of the bytes, so writing one twice is harmless
    and needs no lock. Every method raises DependencyUnavailable when the store can't be reached.
    """

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> int:
        """Stores the bytes under ``key`` and returns their count once they are durable. A reader sees either the
        whole object or none. Idempotent. Raises InvalidRequest for a bad key."""
        ...

    async def get(self, key: str) -> bytes:
        """The object's bytes. Raises NotFound OBJECT_MISSING."""
        ...

    async def exists(self, key: str) -> bool: ...

    async def delete(self, key: str) -> None:
        """Removes the object. Idempotent: a missing one is no error."""
        ...

    def entries(self, prefix: str) -> AsyncIterator[ObjectEntry]:
        """Objects whose keys begin with ``prefix``, in no particular order. One that is put or removed meanwhile may be
        left out; one that is there from the beginning to the end comes once."""
        ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Keys that begin with ``prefix``, in no particular order."""
        ...
