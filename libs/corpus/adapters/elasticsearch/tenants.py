"""The registry of tenants in Elasticsearch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import stamina

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import Found, get
from chassis.elasticsearch.indexes import IndexSpec
from chassis.errors import Overloaded
from corpus.adapters.elasticsearch.paging import pages
from corpus.adapters.rules import merged_fields
from corpus.domain import FieldType, Tenant
from corpus.ids import name_of_tenant, tenant_id_after, validate_tenant_name

_ALIAS: Final = "tenants"
_BUSY: Final = "TENANT_BUSY"
_ATTEMPTS: Final = 20
"""Each attempt fails only because somebody else's succeeded."""

SPECS: Final = (
    IndexSpec(
        alias=_ALIAS,
        properties={
            "tenant": {"type": "keyword"},
            "created_at": {"type": "long", "index": False, "doc_values": False},
            "fields": {"type": "object", "enabled": False},
            "rebuilding": {"type": "keyword", "index": False, "doc_values": False},
        },
    ),
)


class ElasticsearchTenants:
    """Tenants and their declared fields: one document for each name, read in real time and replaced only as it was
    read, so that no declaration is lost to another one made at the same time. Of a tenant that is gone the document
    keeps the id and nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_ALIAS)

    async def create(self, name: str, fields: Mapping[str, FieldType], *, at: datetime) -> Tenant:
        """Creates the tenant or adds fields; see the port."""
        async for attempt in _attempts():
            with attempt:
                return await self._merge(name, fields, at)
        raise AssertionError("stamina returns or raises")

    async def set_rebuilding(self, tenant_id: str, store: str, under_way: bool) -> None:
        """Notes that a store is being rebuilt; see the port."""
        async for attempt in _attempts():
            with attempt:
                found = await get(self._store, self._alias, name_of_tenant(tenant_id))
                known = _tenant_of(found)
                if known is not None and known.tenant_id == tenant_id:
                    others = known.rebuilding - {store}
                    noted = replace(known, rebuilding=others | {store} if under_way else others)
                    await self._replace(tenant_id, _source_of(noted), found)

    async def get(self, tenant_id: str) -> Tenant | None:
        """The tenant or None."""
        tenant = await self.named(name_of_tenant(tenant_id))
        return tenant if tenant is not None and tenant.tenant_id == tenant_id else None

    async def named(self, name: str) -> Tenant | None:
        """The tenant of this name or None."""
        return _tenant_of(await get(self._store, self._alias, name))

    async def latest_id(self, name: str) -> str:
        """The name's last id; see the port."""
        found = await get(self._store, self._alias, validate_tenant_name(name))
        return name if found is None else str(found.source["tenant"])

    async def list(self) -> Sequence[Tenant]:
        """All tenants by id."""
        found = pages(self._store, self._alias, {"match_all": {}}, order_by="tenant")
        known = [_read(hit["_source"]) async for page in found for hit in page]
        return [tenant for tenant in known if tenant is not None]

    async def delete(self, tenant_id: str) -> None:
        """Forgets the tenant."""
        async for attempt in _attempts():
            with attempt:
                found = await get(self._store, self._alias, name_of_tenant(tenant_id))
                known = _tenant_of(found)
                if known is not None and known.tenant_id == tenant_id:
                    await self._replace(tenant_id, {"tenant": tenant_id}, found)

    async def _merge(self, name: str, fields: Mapping[str, FieldType], at: datetime) -> Tenant:
        found = await get(self._store, self._alias, name)
        known = _tenant_of(found)
        all_fields = merged_fields(known.fields if known else {}, fields)
        if known is not None and known.fields == all_fields:
            return known
        if known is not None:
            merged = replace(known, fields=all_fields)
        else:
            tenant_id = validate_tenant_name(name) if found is None else tenant_id_after(found.source["tenant"])
            merged = Tenant(tenant_id, all_fields, at)
        await self._replace(merged.tenant_id, _source_of(merged), found)
        return merged

    async def _replace(self, tenant_id: str, source: Mapping[str, Any], found: Found | None) -> None:
        write = Write(
            self._alias,
            name_of_tenant(tenant_id),
            source,
            create=found is None,
            seq_no=None if found is None else found.seq_no,
            primary_term=None if found is None else found.primary_term,
        )
        if (await bulk(self._store, [write]))[0].conflict:
            raise Overloaded("The tenant is being changed by others: retry.", reason=_BUSY, retry_after_seconds=0.1)


def _attempts() -> AsyncIterator[stamina.Attempt]:
    return stamina.retry_context(on=_is_busy, attempts=_ATTEMPTS, timeout=None, wait_initial=0.01, wait_max=0.2)


def _is_busy(error: Exception) -> bool:
    return isinstance(error, Overloaded) and error.reason == _BUSY


def _source_of(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant": tenant.tenant_id,
        "created_at": to_micros(tenant.created_at),
        "fields": {name: field_type.value for name, field_type in tenant.fields.items()},
        "rebuilding": sorted(tenant.rebuilding),
    }


def _tenant_of(found: Found | None) -> Tenant | None:
    return None if found is None else _read(found.source)


def _read(source: Mapping[str, Any]) -> Tenant | None:
    if "created_at" not in source:
        return None  # gone: what is left says that the id was used
    fields = {name: FieldType(text) for name, text in source["fields"].items()}
    rebuilding = frozenset(source.get("rebuilding", ()))
    return Tenant(source["tenant"], fields, from_micros(source["created_at"]), rebuilding)
