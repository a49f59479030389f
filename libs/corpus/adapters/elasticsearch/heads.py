"""Heads in Elasticsearch."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store, store_errors, unavailable
from chassis.elasticsearch.documents import Found, document_id, get, get_many, search_now
from chassis.elasticsearch.indexes import IndexSpec
from corpus.adapters.elasticsearch.holds import SPEC as HOLDS_SPEC
from corpus.adapters.elasticsearch.holds import ElasticsearchHolds
from corpus.adapters.elasticsearch.paging import pages
from corpus.adapters.values import metadata_from_text, metadata_to_text
from corpus.domain import AccessPolicy, DocumentKey, Head, HeadState, Hold
from corpus.ports import HeadCounts, PutOutcome

_ALIAS: Final = "heads"

SPECS: Final = (
    IndexSpec(
        alias=_ALIAS,
        properties={
            "tenant": {"type": "keyword"},
            "document": {"type": "keyword"},
            "state": {"type": "keyword"},
            "chunk_count": {"type": "long"},
            "token_count": {"type": "long"},
            # The rest of a head is read back and never searched.
            "head": {"type": "object", "enabled": False},
        },
        # What a delete leaves behind for a minute would refuse the heads of a tenant that is created anew under its
        # old name. Whoever must stay deleted has a tombstone, which is a document.
        settings={"gc_deletes": "0s"},
    ),
    HOLDS_SPEC,
)

_FORGETTING_SECONDS: Final = 2.0
"""Elasticsearch's clock for deletes advances in steps of 200 ms; ten of them and nobody waits for good."""
_ASK_AGAIN_SECONDS: Final = 0.05


class ElasticsearchHeads:
    """The authority on what is live, for many machines.

    The version comparison is Elasticsearch's own (external versions, ≥). A tombstone is a document like any other.
    ``get`` and ``get_many`` are real-time reads by id, so a head is visible everywhere when ``put`` returns; ``list``
    and ``counts`` refresh the index before they search, to keep the same promise. Sums in ``counts`` are exact below
    2**53.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_ALIAS)
        self._holds = ElasticsearchHolds(store)

    async def put(self, head: Head) -> PutOutcome:
        """Writes the head unless a newer one is there; see the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _FORGETTING_SECONDS
        while not await self._index(head):
            found = await self._find(head.key)
            if found is not None and _version_of(found) > head.version:
                return PutOutcome.SUPERSEDED
            # What refused the head is gone (or was overtaken by an older one after a purge): Elasticsearch still
            # remembers the version of a head that was purged or dropped a moment ago.
            if loop.time() > deadline:
                raise unavailable()
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        return PutOutcome.APPLIED

    async def get(self, key: DocumentKey) -> Head | None:
        """The head or None; see the port."""
        return (await self.get_many(key.tenant_id, [key.document_id])).get(key.document_id)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        """Heads by document id; see the port."""
        if not document_ids:
            return {}
        ids = {_id_of(DocumentKey(tenant_id, each)) for each in document_ids}
        # Side by side: either was complete when it was asked for, and neither depends on the other.
        documents, held = await asyncio.gather(
            get_many(self._store, self._alias, list(ids)), self._holds.held_among(tenant_id, document_ids)
        )
        heads = (_head_of(found.source) for found in documents if found is not None)
        return {head.key.document_id: _told(head, held) for head in heads}

    async def list(
        self, tenant_id: str, *, after: str = "", prefix: str = "", limit: int = 100, include_deleted: bool = False
    ) -> Sequence[Head]:
        """Heads in order of document ids; see the port."""
        if limit <= 0:
            return []
        conditions: list[dict[str, Any]] = [{"term": {"tenant": tenant_id}}]
        if after:
            conditions.append({"range": {"document": {"gt": after}}})
        if prefix:
            conditions.append({"prefix": {"document": prefix}})
        if not include_deleted:
            conditions.append({"term": {"state": HeadState.LIVE.value}})
        found = pages(self._store, self._alias, {"bool": {"filter": conditions}}, order_by="document", limit=limit)
        heads = [_head_of(hit["_source"]) async for page in found for hit in page]
        held = await self._holds.held_among(tenant_id, [head.key.document_id for head in heads])
        return [_told(head, held) for head in heads]

    async def counts(self, tenant_id: str) -> HeadCounts:
        """Live documents, chunks and tokens."""
        live = [{"term": {"tenant": tenant_id}}, {"term": {"state": HeadState.LIVE.value}}]
        response = await search_now(
            self._store,
            self._alias,
            query={"bool": {"filter": live}},
            aggs={name: {"sum": {"field": name}} for name in ("chunk_count", "token_count")},
            size=0,
            track_total_hits=True,
        )
        sums = response["aggregations"]
        return HeadCounts(
            int(response["hits"]["total"]["value"]),
            int(sums["chunk_count"]["value"]),
            int(sums["token_count"]["value"]),
        )

    async def purge(self, key: DocumentKey, version: int) -> None:
        """Forgets a tombstone of that version; see the port. The delete holds only for the very document that was
        looked at: a delete with a version would take an older head along, and one of the same version that is
        live."""
        found = await self._find(key)
        if found is None or found.source["state"] != HeadState.DELETED.value or _version_of(found) != version:
            return
        # A conflict says that another head is there by now.
        await bulk(
            self._store,
            [Write(self._alias, _id_of(key), None, seq_no=found.seq_no, primary_term=found.primary_term)],
        )

    async def set_hold(self, hold: Hold) -> PutOutcome:
        """Writes the hold unless a newer one is there; see the port."""
        return PutOutcome.APPLIED if await self._holds.put(hold) else PutOutcome.SUPERSEDED

    async def hold(self, key: DocumentKey) -> Hold | None:
        """The hold or None; see the port."""
        return await self._holds.get(key)

    async def holds(
        self, tenant_id: str, *, after: str = "", limit: int = 100, include_released: bool = False
    ) -> Sequence[Hold]:
        """Holds in order of document ids; see the port."""
        return await self._holds.page(tenant_id, after, limit, include_released)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's heads and holds: those that were there when the call began, whatever became of them
        since."""
        await self._holds.drop_tenant(tenant_id)
        everything = pages(self._store, self._alias, {"term": {"tenant": tenant_id}}, order_by="document", source=False)
        async for page in everything:
            await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in page])

    async def _index(self, head: Head) -> bool:
        """Whether Elasticsearch took the head."""
        with store_errors():
            response = await self._store.client.options(ignore_status=409).index(
                index=self._alias,
                id=_id_of(head.key),
                document=_source_of(head),
                version=head.version,
                version_type="external_gte",
                require_alias=True,
            )
        return response.meta.status != 409

    async def _find(self, key: DocumentKey) -> Found | None:
        return await get(self._store, self._alias, _id_of(key))


def _told(head: Head, held: Collection[str]) -> Head:
    return replace(head, held=True) if head.key.document_id in held else head


def _id_of(key: DocumentKey) -> str:
    # A document id alone may be as long as Elasticsearch allows for an ``_id``.
    return document_id(key.tenant_id, key.document_id)


def _version_of(found: Found) -> int:
    return int(found.source["head"]["version"])


def _source_of(head: Head) -> dict[str, Any]:
    return {
        "tenant": head.key.tenant_id,
        "document": head.key.document_id,
        "state": head.state.value,
        "chunk_count": head.chunk_count,
        "token_count": head.token_count,
        "head": {
            "version": head.version,
            "chunks_version": head.chunks_version,
            "access_tokens": sorted(head.access.tokens),
            "security_level": head.access.security_level,
            "generation": head.generation,
            "event_id": head.event_id,
            "updated_at": to_micros(head.updated_at),
            "principals": list(head.principals),
            "expires_at": None if head.expires_at is None else to_micros(head.expires_at),
            "title": head.title,
            "doc_type": head.doc_type,
            "uri": head.uri,
            "language": head.language,
            "filename": head.filename,
            "media_type": head.media_type,
            # As text: whether a number is whole, and what is a timestamp, must come back as it was.
            "metadata": metadata_to_text(head.metadata),
            "content_sha256": head.content_sha256,
            "description_sha256": head.description_sha256,
            "object_key": head.object_key,
            "size_bytes": head.size_bytes,
            "ingest_trace_id": head.ingest_trace_id,
        },
    }


def _head_of(source: Mapping[str, Any]) -> Head:
    rest = source["head"]
    return Head(
        key=DocumentKey(source["tenant"], source["document"]),
        version=rest["version"],
        chunks_version=rest["chunks_version"],
        state=HeadState(source["state"]),
        access=AccessPolicy(frozenset(rest["access_tokens"]), rest["security_level"]),
        generation=rest["generation"],
        event_id=rest["event_id"],
        updated_at=from_micros(rest["updated_at"]),
        principals=tuple(rest["principals"]),
        expires_at=None if rest["expires_at"] is None else from_micros(rest["expires_at"]),
        title=rest["title"],
        doc_type=rest["doc_type"],
        uri=rest["uri"],
        language=rest["language"],
        filename=rest["filename"],
        media_type=rest["media_type"],
        metadata=metadata_from_text(rest["metadata"]),
        content_sha256=rest["content_sha256"],
        description_sha256=rest["description_sha256"],
        object_key=rest["object_key"],
        size_bytes=rest["size_bytes"],
        chunk_count=source["chunk_count"],
        token_count=source["token_count"],
        ingest_trace_id=rest["ingest_trace_id"],
    )
