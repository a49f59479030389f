"""Records of pseudonyms in Elasticsearch."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import MAX_HITS, document_id, get, get_many, search_now
from chassis.elasticsearch.indexes import IndexSpec
from corpus.domain import DocumentKey
from corpus.privacy.sealing import Sealed
from corpus.pseudonyms import PseudonymRecord

_ALIAS: Final = "pseudonyms"
_DROPPED_AT_ONCE: Final = 5_000
_MOST_KEYS: Final = 1_000
"""Key ids that ``counts`` tells apart."""

SPECS: Final = (
    IndexSpec(
        _ALIAS,
        {
            "tenant_id": {"type": "keyword"},
            "document_id": {"type": "keyword", "index": False, "doc_values": False},
            "chunks_version": {"type": "long", "index": False, "doc_values": False},
            "generation": {"type": "keyword", "index": False, "doc_values": False},
            "key_id": {"type": "keyword"},
            "sealed": {"type": "binary"},
        },
    ),
)


class ElasticsearchPseudonymStore:
    """Records, for all processes. By id in real time; what goes over all records refreshes the index before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_ALIAS)

    async def put(self, record: PseudonymRecord) -> None:
        """Writes a record; see the port."""
        await bulk(self._store, [Write(self._alias, _id_of(record), _row(record))])

    async def get(
        self, key: DocumentKey, chunks_version: int, generations: Collection[str]
    ) -> Sequence[PseudonymRecord]:
        """A version's records; see the port."""
        ids = [_id(key, chunks_version, generation) for generation in set(generations)]
        found = await get_many(self._store, self._alias, ids) if ids else []
        return [_record(each.source) for each in found if each is not None]

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Forgets a record."""
        await bulk(self._store, [Write(self._alias, _id(key, chunks_version, generation), None)])

    async def drop_tenant(self, tenant_id: str) -> None:
        """Forgets the tenant's records."""
        query = {"term": {"tenant_id": tenant_id}}
        while True:
            response = await search_now(self._store, self._alias, size=_DROPPED_AT_ONCE, source=False, query=query)
            hits = response["hits"]["hits"]
            if not hits:
                return
            await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in hits])

    async def sealed_otherwise(self, key_id: str, limit: int) -> Sequence[PseudonymRecord]:
        """Records that another key sealed; see the port."""
        if limit <= 0:
            return []
        query = {"bool": {"must_not": [{"term": {"key_id": key_id}}]}}
        response = await search_now(
            self._store, self._alias, size=min(limit, MAX_HITS), query=query, track_total_hits=False
        )
        return [_record(hit["_source"]) for hit in response["hits"]["hits"]]

    async def replace(self, record: PseudonymRecord, sealed: Sealed) -> bool:
        """Compares and sets; see the port."""
        row_id = _id_of(record)
        found = await get(self._store, self._alias, row_id)
        if found is None or _record(found.source) != record or sealed == record.sealed:
            return False
        anew = PseudonymRecord(record.key, record.chunks_version, record.generation, sealed)
        write = Write(self._alias, row_id, _row(anew), seq_no=found.seq_no, primary_term=found.primary_term)
        [written] = await bulk(self._store, [write])
        return not written.conflict

    async def counts(self) -> Mapping[str, int]:
        """Records by key id."""
        terms = {"field": "key_id", "size": _MOST_KEYS}
        response = await search_now(self._store, self._alias, size=0, aggs={"keys": {"terms": terms}})
        return {bucket["key"]: int(bucket["doc_count"]) for bucket in response["aggregations"]["keys"]["buckets"]}


def _id(key: DocumentKey, chunks_version: int, generation: str) -> str:
    return document_id(key.tenant_id, key.document_id, str(chunks_version), generation)


def _id_of(record: PseudonymRecord) -> str:
    return _id(record.key, record.chunks_version, record.generation)


def _row(record: PseudonymRecord) -> Mapping[str, Any]:
    return {
        "tenant_id": record.key.tenant_id,
        "document_id": record.key.document_id,
        "chunks_version": record.chunks_version,
        "generation": record.generation,
        "key_id": record.sealed.key_id,
        "sealed": base64.b64encode(record.sealed.data).decode(),
    }


def _record(row: Mapping[str, Any]) -> PseudonymRecord:
    return PseudonymRecord(
        DocumentKey(row["tenant_id"], row["document_id"]),
        row["chunks_version"],
        row["generation"],
        Sealed(row["key_id"], base64.b64decode(row["sealed"])),
    )
