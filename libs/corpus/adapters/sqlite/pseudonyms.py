"""Records of pseudonyms in corpus.sqlite."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.domain import DocumentKey
from corpus.privacy.sealing import Sealed
from corpus.pseudonyms import PseudonymRecord

_PLACE: Final = "tenant_id = ? AND document_id = ? AND chunks_version = ? AND generation = ?"


class SqlitePseudonymStore:
    """Records, on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def put(self, record: PseudonymRecord) -> None:
        """Writes a record; see the port."""
        row = (*_place(record), record.sealed.key_id, record.sealed.data)
        await self._database.write(
            lambda c: c.execute("INSERT OR REPLACE INTO pseudonyms VALUES (?, ?, ?, ?, ?, ?)", row)
        )

    async def get(
        self, key: DocumentKey, chunks_version: int, generations: Collection[str]
    ) -> Sequence[PseudonymRecord]:
        """A version's records; see the port."""
        sql = "SELECT * FROM pseudonyms WHERE tenant_id = ? AND document_id = ? AND chunks_version = ?"
        place = (key.tenant_id, key.document_id, chunks_version)
        rows = await self._database.read(lambda c: c.execute(sql, place).fetchall())
        return [record for record in map(_record, rows) if record.generation in generations]

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Forgets a record."""
        place = (key.tenant_id, key.document_id, chunks_version, generation)
        sql = f"DELETE FROM pseudonyms WHERE {_PLACE}"  # noqa: S608
        await self._database.write(lambda c: c.execute(sql, place))

    async def drop_tenant(self, tenant_id: str) -> None:
        """Forgets the tenant's records."""
        await self._database.write(lambda c: c.execute("DELETE FROM pseudonyms WHERE tenant_id = ?", (tenant_id,)))

    async def sealed_otherwise(self, key_id: str, limit: int) -> Sequence[PseudonymRecord]:
        """Records that another key sealed; see the port."""
        # Two ranges of the index by key; a condition of inequality would read every row.
        sql = (
            "SELECT * FROM (SELECT * FROM pseudonyms WHERE key_id < ?1 LIMIT ?2) "
            "UNION ALL SELECT * FROM (SELECT * FROM pseudonyms WHERE key_id > ?1 LIMIT ?2) LIMIT ?2"
        )
        rows = await self._database.read(lambda c: c.execute(sql, (key_id, max(limit, 0))).fetchall())
        return list(map(_record, rows))

    async def replace(self, record: PseudonymRecord, sealed: Sealed) -> bool:
        """Compares and sets; see the port."""
        if sealed == record.sealed:
            return False
        sql = f"UPDATE pseudonyms SET key_id = ?, sealed = ? WHERE {_PLACE} AND key_id = ? AND sealed = ?"  # noqa: S608
        values = (sealed.key_id, sealed.data, *_place(record), record.sealed.key_id, record.sealed.data)
        return await self._database.write(lambda c: c.execute(sql, values).rowcount) > 0

    async def counts(self) -> Mapping[str, int]:
        """Records by key id."""
        sql = "SELECT key_id, count(*) FROM pseudonyms GROUP BY key_id"
        return dict(await self._database.read(lambda c: c.execute(sql).fetchall()))


def _place(record: PseudonymRecord) -> tuple[str, str, int, str]:
    return record.key.tenant_id, record.key.document_id, record.chunks_version, record.generation


def _record(row: tuple[Any, ...]) -> PseudonymRecord:
    tenant_id, document_id, chunks_version, generation, key_id, sealed = row
    return PseudonymRecord(DocumentKey(tenant_id, document_id), chunks_version, generation, Sealed(key_id, sealed))
