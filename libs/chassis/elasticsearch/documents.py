"""Documents by id, as they are now, and searches that answer completely or not at all."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chassis.elasticsearch.client import Store, error_of, store_errors

MAX_HITS: Final = 10_000
"""Most hits of one search (``index.max_result_window``)."""

_MAX_IDS: Final = 1_000
"""Documents read by one request."""


@dataclass(frozen=True, slots=True)
class Found:
    """A document as it was when it was read; ``seq_no`` and ``primary_term`` are for a compare-and-set."""

    source: Mapping[str, Any]
    seq_no: int
    primary_term: int


def document_id(*parts: str) -> str:
    """An ``_id`` for parts of any length: SHA-256 of them, each preceded by its UTF-8 length, in URL-safe base64, which
    Elasticsearch keeps as 32 bytes."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


async def get_many(
    store: Store, alias: str, document_ids: Sequence[str], *, source: bool | Sequence[str] = True
) -> list[Found | None]:
    """Documents in the order of their ids, None where there is none. In real time: what was written is read, whether
    or not the index was refreshed since. ``source=False`` reads their sequence numbers only; names of fields, those.

    Raises DependencyUnavailable, Overloaded, FailedPrecondition INDEX_MISSING.
    """
    found: list[Found | None] = []
    wanted = None if source is True else source if source is False else list(source)
    for start in range(0, len(document_ids), _MAX_IDS):
        ids = document_ids[start : start + _MAX_IDS]
        with store_errors():
            response = await store.client.mget(index=alias, ids=ids, source=wanted)
        found += [_found(item) for item in response["docs"]]
    return found


async def get(store: Store, alias: str, document_id: str, *, source: bool = True) -> Found | None:
    """One document; see ``get_many``."""
    return (await get_many(store, alias, [document_id], source=source))[0]


async def search(store: Store, alias: str, **request: Any) -> Mapping[str, Any]:
    """Answer of a search of what was visible at the last refresh. A shard that fails is an error, never fewer hits."""
    with store_errors():
        response = await store.client.search(index=alias, allow_partial_search_results=False, **request)
    return dict(response.body)


async def search_now(store: Store, alias: str, **request: Any) -> Mapping[str, Any]:
    """As ``search``, of everything that was written: refreshes first, which is for reads that are rare."""
    with store_errors():
        await store.client.indices.refresh(index=alias)
    return await search(store, alias, **request)


def _found(item: Mapping[str, Any]) -> Found | None:
    if "error" in item:
        # Nothing is known of this document, so it does not read as missing.
        kind = str(item["error"]["type"])
        raise error_of(404 if kind == "index_not_found_exception" else 503, kind)
    if not item["found"]:
        return None
    return Found(item.get("_source", {}), item["_seq_no"], item["_primary_term"])
