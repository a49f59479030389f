"""Whole lists, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import search, search_now

_PAGE: Final = 1_000
"""Hits of one search: a tenth of what Elasticsearch allows, a few megabytes of heads."""


async def pages(
    store: Store,
    alias: str,
    query: Mapping[str, Any],
    *,
    order_by: str,
    limit: int | None = None,
    source: bool = True,
) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """Pages of hits in the byte order of a keyword field that is unique among them, at most ``limit`` hits, of
    everything that was written before the first page was asked for.

    No point in time is held: a document that comes or goes meanwhile moves no other one to another page.
    """
    look = search_now
    after: list[Any] | None = None
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        request: dict[str, Any] = {"query": query, "sort": [{order_by: "asc"}], "size": size, "source": source}
        if after:
            request["search_after"] = after
        response = await look(store, alias, track_total_hits=False, **request)
        hits: Sequence[Mapping[str, Any]] = response["hits"]["hits"]
        if hits:
            yield hits
        if len(hits) < size:
            return
        look = search
        after = hits[-1]["sort"]
        left = None if left is None else left - len(hits)
