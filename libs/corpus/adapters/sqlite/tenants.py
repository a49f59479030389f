"""The registry of tenants in corpus.sqlite."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime

from chassis.clock import from_micros, to_micros
from corpus.adapters.rules import merged_fields
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.domain import FieldType, Tenant
from corpus.ids import tenant_id_after, validate_tenant_name


class SqliteTenants:
    """Tenants and their declared fields, on one machine."""

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database

    async def create(self, name: str, fields: Mapping[str, FieldType], *, at: datetime) -> Tenant:
        """Creates the tenant or adds fields; see the port."""

        def work(connection: sqlite3.Connection) -> Tenant:
            tenant_id = _latest_id(connection, name)
            known = _tenant(connection, tenant_id) if tenant_id else None
            merged_fields(known.fields if known else {}, fields)
            if tenant_id is None:
                tenant_id = validate_tenant_name(name)
            elif known is None:
                tenant_id = tenant_id_after(tenant_id)
            connection.execute("INSERT OR REPLACE INTO tenant_names VALUES (?, ?)", (name, tenant_id))
            connection.execute("INSERT OR IGNORE INTO tenants VALUES (?, ?)", (tenant_id, to_micros(at)))
            connection.executemany(
                "INSERT OR IGNORE INTO tenant_fields VALUES (?, ?, ?)",
                [(tenant_id, field, field_type.value) for field, field_type in fields.items()],
            )
            created = _tenant(connection, tenant_id)
            assert created is not None
            return created

        return await self._database.write(work)

    async def get(self, tenant_id: str) -> Tenant | None:
        """The tenant or None."""
        return await self._database.read(lambda c: _tenant(c, tenant_id))

    async def named(self, name: str) -> Tenant | None:
        """The tenant of this name or None."""

        def read(connection: sqlite3.Connection) -> Tenant | None:
            tenant_id = _latest_id(connection, name)
            return _tenant(connection, tenant_id) if tenant_id else None

        return await self._database.read(read)

    async def latest_id(self, name: str) -> str:
        """The name's last id; see the port."""
        return await self._database.read(lambda c: _latest_id(c, name)) or validate_tenant_name(name)

    async def list(self) -> Sequence[Tenant]:
        """All tenants by id."""

        def read(connection: sqlite3.Connection) -> list[Tenant]:
            ids = connection.execute("SELECT tenant_id FROM tenants ORDER BY tenant_id").fetchall()
            found = [_tenant(connection, tenant_id) for (tenant_id,) in ids]
            return [tenant for tenant in found if tenant is not None]

        return await self._database.read(read)

    async def set_rebuilding(self, tenant_id: str, store: str, under_way: bool) -> None:
        """Notes that a store is being rebuilt; see the port."""
        statement = (
            "INSERT OR IGNORE INTO tenant_rebuilds SELECT tenant_id, ?2 FROM tenants WHERE tenant_id = ?1"
            if under_way
            else "DELETE FROM tenant_rebuilds WHERE tenant_id = ?1 AND store = ?2"
        )
        await self._database.write(lambda c: c.execute(statement, (tenant_id, store)))

    async def delete(self, tenant_id: str) -> None:
        """Forgets the tenant."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM tenant_fields WHERE tenant_id = ?", (tenant_id,))
            connection.execute("DELETE FROM tenant_rebuilds WHERE tenant_id = ?", (tenant_id,))
            connection.execute("DELETE FROM tenants WHERE tenant_id = ?", (tenant_id,))

        await self._database.write(work)


def _latest_id(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT tenant_id FROM tenant_names WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _tenant(connection: sqlite3.Connection, tenant_id: str) -> Tenant | None:
    row = connection.execute("SELECT created_at FROM tenants WHERE tenant_id = ?", (tenant_id,)).fetchone()
    if row is None:
        return None
    rows = connection.execute("SELECT name, type FROM tenant_fields WHERE tenant_id = ? ORDER BY name", (tenant_id,))
    fields = {name: FieldType(text) for name, text in rows}
    stores = connection.execute("SELECT store FROM tenant_rebuilds WHERE tenant_id = ?", (tenant_id,))
    return Tenant(tenant_id, fields, from_micros(row[0]), frozenset(store for (store,) in stores))
