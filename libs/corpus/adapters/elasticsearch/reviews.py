"""The review queue in Elasticsearch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from chassis.clock import to_micros
from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import MAX_HITS, document_id, get, search_now
from chassis.elasticsearch.indexes import IndexSpec
from corpus.adapters.elasticsearch.paging import pages
from corpus.adapters.review_rows import item_from_json, item_to_json
from corpus.reviews import ReviewItem, ReviewState

_ALIAS: Final = "reviews"

SPECS: Final = (
    IndexSpec(
        _ALIAS,
        {
            "review_id": {"type": "keyword"},
            "tenant_id": {"type": "keyword"},
            "state": {"type": "keyword"},
            "raised_at": {"type": "long"},
            "item": {"type": "object", "enabled": False},
        },
    ),
)


class ElasticsearchReviewQueue:
    """Items, for all processes. By id in real time; lists refresh the index before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_ALIAS)

    async def get(self, tenant_id: str, review_id: str) -> ReviewItem | None:
        """The item or None."""
        found = await get(self._store, self._alias, document_id(review_id))
        item = item_from_json(found.source["item"]) if found is not None else None
        return item if item is not None and item.key.tenant_id == tenant_id else None

    async def put(self, item: ReviewItem, *, expected: ReviewItem | None) -> bool:
        """Compares and sets; see the port."""
        found = await get(self._store, self._alias, document_id(item.review_id))
        known = item_from_json(found.source["item"]) if found is not None else None
        if known != expected or item == expected:
            return False
        row = {
            "review_id": item.review_id,
            "tenant_id": item.key.tenant_id,
            "state": item.state.value,
            "raised_at": to_micros(item.raised_at),
            "item": item_to_json(item),
        }
        write = Write(
            self._alias,
            document_id(item.review_id),
            row,
            create=found is None,
            seq_no=found.seq_no if found else None,
            primary_term=found.primary_term if found else None,
        )
        [written] = await bulk(self._store, [write])
        return not written.conflict

    async def list(
        self,
        tenant_id: str,
        state: ReviewState | None = None,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> Sequence[ReviewItem]:
        """A page of items; see the port. At most 10,000."""
        if limit <= 0:
            return []
        filters: list[dict[str, Any]] = [{"term": {"tenant_id": tenant_id}}]
        if state is not None:
            filters.append({"term": {"state": state.value}})
        following = {"search_after": [to_micros(after[0]), after[1]]} if after else {}
        response = await search_now(
            self._store,
            self._alias,
            size=min(limit, MAX_HITS),
            query={"bool": {"filter": filters}},
            sort=[{"raised_at": "desc"}, {"review_id": "asc"}],
            track_total_hits=False,
            **following,
        )
        return [item_from_json(hit["_source"]["item"]) for hit in response["hits"]["hits"]]

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's items."""
        query = {"term": {"tenant_id": tenant_id}}
        async for page in pages(self._store, self._alias, query, order_by="review_id", source=False):
            await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in page])
