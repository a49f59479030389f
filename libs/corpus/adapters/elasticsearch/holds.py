"""Holds in Elasticsearch: an index of their own beside the heads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store, store_errors, unavailable
from chassis.elasticsearch.documents import document_id, get, get_many
from chassis.elasticsearch.indexes import IndexSpec
from corpus.adapters.elasticsearch.paging import pages
from corpus.domain import DocumentKey, Hold

_ALIAS: Final = "holds"

SPEC: Final = IndexSpec(
    alias=_ALIAS,
    properties={
        "tenant": {"type": "keyword"},
        "document": {"type": "keyword"},
        "held": {"type": "boolean"},
        # The rest is read back and never searched.
        "hold": {"type": "object", "enabled": False},
    },
    # As of heads: what was dropped must not refuse the holds of a tenant of this id that is written anew.
    settings={"gc_deletes": "0s"},
)

_FORGETTING_SECONDS: Final = 2.0
"""As of heads."""
_ASK_AGAIN_SECONDS: Final = 0.05


class ElasticsearchHolds:
    """Part of ``ElasticsearchHeads``. The version comparison is Elasticsearch's own (external versions, >), reads by
    id are real-time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_ALIAS)

    async def put(self, hold: Hold) -> bool:
        """Whether the hold is what is there now."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _FORGETTING_SECONDS
        while not await self._index(hold):
            known = await self.get(hold.key)
            if known is not None and known.version >= hold.version:
                return known == hold
            # What refused it was dropped a moment ago, and is still remembered.
            if loop.time() > deadline:
                raise unavailable()
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        return True

    async def get(self, key: DocumentKey) -> Hold | None:
        """The document's hold."""
        found = await get(self._store, self._alias, _id_of(key))
        return None if found is None else _hold_of(found.source)

    async def held_among(self, tenant_id: str, document_ids: Collection[str]) -> set[str]:
        """Those of the documents that are held."""
        if not document_ids:
            return set()
        ids = {_id_of(DocumentKey(tenant_id, each)) for each in document_ids}
        found = await get_many(self._store, self._alias, list(ids), source=("document", "held"))
        return {each.source["document"] for each in found if each is not None and each.source["held"]}

    async def page(self, tenant_id: str, after: str, limit: int, include_released: bool) -> Sequence[Hold]:
        """A tenant's holds in order of document ids."""
        if limit <= 0:
            return []
        conditions: list[dict[str, Any]] = [{"term": {"tenant": tenant_id}}]
        if after:
            conditions.append({"range": {"document": {"gt": after}}})
        if not include_released:
            conditions.append({"term": {"held": True}})
        found = pages(self._store, self._alias, {"bool": {"filter": conditions}}, order_by="document", limit=limit)
        return [_hold_of(hit["_source"]) async for page in found for hit in page]

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's holds."""
        everything = pages(self._store, self._alias, {"term": {"tenant": tenant_id}}, order_by="document", source=False)
        async for page in everything:
            await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in page])

    async def _index(self, hold: Hold) -> bool:
        with store_errors():
            response = await self._store.client.options(ignore_status=409).index(
                index=self._alias,
                id=_id_of(hold.key),
                document=_source_of(hold),
                version=hold.version,
                version_type="external",
                require_alias=True,
            )
        return response.meta.status != 409


def _id_of(key: DocumentKey) -> str:
    return document_id(key.tenant_id, key.document_id)


def _source_of(hold: Hold) -> dict[str, Any]:
    return {
        "tenant": hold.key.tenant_id,
        "document": hold.key.document_id,
        "held": hold.held,
        "hold": {
            "version": hold.version,
            "changed_at": to_micros(hold.changed_at),
            "by": hold.by,
            "reason": hold.reason,
        },
    }


def _hold_of(source: Mapping[str, Any]) -> Hold:
    rest = source["hold"]
    return Hold(
        DocumentKey(source["tenant"], source["document"]),
        rest["version"],
        source["held"],
        from_micros(rest["changed_at"]),
        rest["by"],
        rest["reason"],
    )
