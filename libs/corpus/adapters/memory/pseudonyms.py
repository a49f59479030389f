"""Records of pseudonyms in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from corpus.domain import DocumentKey
from corpus.privacy.sealing import Sealed
from corpus.pseudonyms import PseudonymRecord

_Place = tuple[DocumentKey, int, str]


class MemoryPseudonymStore:
    """Records within one process."""

    def __init__(self) -> None:
        self._records: dict[_Place, PseudonymRecord] = {}

    async def put(self, record: PseudonymRecord) -> None:
        """Writes a record; see the port."""
        self._records[_place(record)] = record

    async def get(
        self, key: DocumentKey, chunks_version: int, generations: Collection[str]
    ) -> Sequence[PseudonymRecord]:
        """A version's records; see the port."""
        found = (self._records.get((key, chunks_version, generation)) for generation in set(generations))
        return [record for record in found if record is not None]

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Forgets a record."""
        self._records.pop((key, chunks_version, generation), None)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Forgets the tenant's records."""
        self._records = {place: record for place, record in self._records.items() if record.key.tenant_id != tenant_id}

    async def sealed_otherwise(self, key_id: str, limit: int) -> Sequence[PseudonymRecord]:
        """Records that another key sealed; see the port."""
        return [record for record in self._records.values() if record.sealed.key_id != key_id][: max(limit, 0)]

    async def replace(self, record: PseudonymRecord, sealed: Sealed) -> bool:
        """Compares and sets; see the port."""
        if self._records.get(_place(record)) != record or sealed == record.sealed:
            return False
        self._records[_place(record)] = replace(record, sealed=sealed)
        return True

    async def counts(self) -> Mapping[str, int]:
        """Records by key id."""
        return Counter(record.sealed.key_id for record in self._records.values())


def _place(record: PseudonymRecord) -> _Place:
    return record.key, record.chunks_version, record.generation
