"""The registry of tenants in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from corpus.adapters.rules import merged_fields
from corpus.domain import FieldType, Tenant
from corpus.ids import tenant_id_after, validate_tenant_name


class MemoryTenants:
    """Tenants and their declared fields, within one process."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._ids: dict[str, str] = {}
        """The id that each name had last."""

    async def create(self, name: str, fields: Mapping[str, FieldType], *, at: datetime) -> Tenant:
        """Creates the tenant or adds fields; see the port."""
        known = await self.named(name)
        merged = merged_fields(known.fields if known else {}, fields)
        tenant_id = self._ids.get(name)
        if known is None:
            tenant_id = validate_tenant_name(name) if tenant_id is None else tenant_id_after(tenant_id)
        assert tenant_id is not None
        self._ids[name] = tenant_id
        self._tenants[tenant_id] = replace(known, fields=merged) if known else Tenant(tenant_id, merged, at)
        return self._tenants[tenant_id]

    async def get(self, tenant_id: str) -> Tenant | None:
        """The tenant or None."""
        return self._tenants.get(tenant_id)

    async def named(self, name: str) -> Tenant | None:
        """The tenant of this name or None."""
        return self._tenants.get(self._ids.get(name, ""))

    async def latest_id(self, name: str) -> str:
        """The name's last id; see the port."""
        return self._ids.get(name) or validate_tenant_name(name)

    async def list(self) -> Sequence[Tenant]:
        """All tenants by id."""
        return [self._tenants[tenant_id] for tenant_id in sorted(self._tenants)]

    async def set_rebuilding(self, tenant_id: str, store: str, under_way: bool) -> None:
        """Notes that a store is being rebuilt; see the port."""
        known = self._tenants.get(tenant_id)
        if known is not None:
            others = known.rebuilding - {store}
            self._tenants[tenant_id] = replace(known, rebuilding=others | {store} if under_way else others)

    async def delete(self, tenant_id: str) -> None:
        """Forgets the tenant."""
        self._tenants.pop(tenant_id, None)
