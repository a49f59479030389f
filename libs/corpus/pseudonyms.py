"""Where it is kept what pseudonyms stand for: sealed, by version of a document.

Nouns
    **Record**: what the pseudonyms of one version of one document in one generation stand for, sealed as a whole. Each
    document has its own copy of what it shares with others, so a record goes with its version and nothing has to be
    counted; and who may read a document is asked about that document alone.

The rules of ``corpus.ports`` hold for every method here. No adapter has a key, none sees a value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from corpus.domain import DocumentKey
from corpus.privacy.sealing import Sealed


@dataclass(frozen=True, slots=True)
class PseudonymRecord:
    """A record and what it is about."""

    key: DocumentKey
    chunks_version: int
    generation: str
    sealed: Sealed


class PseudonymStore(Protocol):
    """Records by (document, chunks_version, generation), each at most once."""

    async def put(self, record: PseudonymRecord) -> None:
        """Writes the record in place of the one that was there, as a whole: nobody reads a part of it. Idempotent. Of
        two writers at once the later one's stays."""
        ...

    async def get(
        self, key: DocumentKey, chunks_version: int, generations: Collection[str]
    ) -> Sequence[PseudonymRecord]:
        """The version's records of these generations, as of now, in no particular order; unknown ones are left out."""
        ...

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Forgets a record. Idempotent."""
        ...

    async def drop_tenant(self, tenant_id: str) -> None:
        """Forgets the tenant's records. Idempotent."""
        ...

    async def sealed_otherwise(self, key_id: str, limit: int) -> Sequence[PseudonymRecord]:
        """Records of all tenants that another key sealed, in no particular order, at most ``limit`` and fewer only when
        there are no more. What was written before the call is among them."""
        ...

    async def replace(self, record: PseudonymRecord, sealed: Sealed) -> bool:
        """Seals the record anew if it is still the one that is given, and says whether it did: one that was written or
        forgotten meanwhile stays as it is. Atomic. Repeating a call that has written says False."""
        ...

    async def counts(self) -> Mapping[str, int]:
        """Records of all tenants by key id."""
        ...
