"""LexicalIndex on Elasticsearch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store, error_of, store_errors
from chassis.elasticsearch.documents import MAX_HITS, get_many, search, search_now
from chassis.elasticsearch.indexes import IndexSpec, create, differences_of_all
from chassis.errors import FailedPrecondition
from corpus.adapters.elasticsearch.lexical_query import (
    linked_request,
    linking_request,
    prefilter_clauses,
    search_request,
)
from corpus.adapters.elasticsearch.lexical_schema import (
    AUDITED,
    EVERY_INDEX,
    EXPECTED,
    LINK_PROPERTIES,
    ORIGIN,
    TEXT,
    access_of,
    alias_of,
    candidate_of,
    document_of,
    index_of,
    index_term,
    indexed_row_of,
    named_of,
    seed_of,
    tenant_group,
)
from corpus.adapters.lexical_links import Named, Seed, follow
from corpus.adapters.lexical_ranking import MAX_QUERY_TERMS
from corpus.domain import AccessPolicy, Candidate, IndexedRow, LexicalRow
from corpus.index_ports import MayBeShown
from corpus.ports import SCAN_PAGE, Prefilter

SPECS: tuple[IndexSpec, ...] = ()
"""None is there from the start: an index comes with the first row of its generation and tenant."""

_EVERY_ROW: Final[Mapping[str, Any]] = {
    "sort": [{ORIGIN: "asc"}],
    "size": MAX_HITS,
    "source": False,
    "stored_fields": "_none_",
    "track_total_hits": False,
}


class ElasticsearchLexicalIndex:
    """BM25 over one index per generation and tenant (``docs/adr/0007-lexical-index-per-tenant.md``).

    A write that returned is durable; searches of every process see it within half a second (the index's refresh
    interval, and what a refresh takes), ``chunk_ids`` at once. ``write`` does not wait for the refresh: that would add
    half of the interval to every write and bring nothing, since the head, written afterwards, says what is served.

    Any number of processes may write. An access change and a write of the same row are applied in the order in which
    they reach the server, so the later one decides tokens and level: one that comes late leaves a row with an outdated
    policy until the next, and the head check keeps it from being served.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._created: set[str] = set()
        # Statistics of all shards make scores comparable between them; one shard has them anyway.
        self._search_type = "query_then_fetch" if store.endpoint.shards == 1 else "dfs_query_then_fetch"

    async def write(self, generation: str, rows: Sequence[LexicalRow]) -> None:
        """See ``LexicalIndex.write``. Raises InvalidRequest DOCUMENT_UNMAPPABLE."""
        by_tenant: dict[str, list[LexicalRow]] = defaultdict(list)
        for row in rows:
            by_tenant[row.key.tenant_id].append(row)
        for tenant_id, of_tenant in by_tenant.items():
            spec = index_of(generation, tenant_id)
            alias = self._store.name(spec.alias)
            writes = [Write(alias, row.chunk_id, document_of(row)) for row in of_tenant]
            await self._ensure(spec)
            try:
                await bulk(self._store, writes)
            except FailedPrecondition as error:
                if error.reason != "INDEX_MISSING":
                    raise
                # The tenant was dropped since this process made sure of its index.
                self._created.discard(spec.alias)
                await self._ensure(spec)
                await bulk(self._store, writes)

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None:
        """See ``LexicalIndex.set_access``."""
        alias = self._alias(generation, tenant_id)
        change = access_of(access)
        await self._change(Write(alias, chunk_id, change, partial=True) for chunk_id in dict.fromkeys(chunk_ids))

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        """See ``LexicalIndex.delete``."""
        alias = self._alias(generation, tenant_id)
        await self._change(Write(alias, chunk_id, None) for chunk_id in dict.fromkeys(chunk_ids))

    async def search(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """See ``LexicalIndex.search``. Of a query's distinct terms only the rarest ``MAX_QUERY_TERMS`` count, and
        of ``k`` at most 10,000."""
        found: list[Sequence[Candidate]] = [()] * len(queries)
        if not prefilter.access_tokens or k < 1:
            return found
        alias = self._alias(generation, prefilter.tenant_id)
        filters = prefilter_clauses(prefilter)
        wanted = [await self._rarest(alias, list(dict.fromkeys(terms))) for terms in queries]
        places = [place for place, terms in enumerate(wanted) if terms]
        answers = await self._search(
            alias, [search_request(wanted[place], min(k, MAX_HITS), filters) for place in places]
        )
        for place, hits in zip(places, answers, strict=True):
            found[place] = [candidate_of(hit["sort"][1], hit["sort"][0]) for hit in hits]
        return found

    async def linked(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter, shown: MayBeShown
    ) -> Sequence[Sequence[Candidate]]:
        """See ``LexicalIndex.linked``. Two round trips for all queries, two more at most where common names fill the
        second; none where nothing is asked for."""
        if not prefilter.access_tokens or k < 1:
            return [()] * len(queries)
        alias = self._alias(generation, prefilter.tenant_id)
        filters = prefilter_clauses(prefilter)
        wanted = [await self._rarest(alias, list(dict.fromkeys(terms))) for terms in queries]
        asking = [place for place, terms in enumerate(wanted) if terms]
        answers = await self._search(alias, [linking_request(wanted[place], filters) for place in asking])
        seeds: list[Sequence[Seed]] = [()] * len(queries)
        for place, hits in zip(asking, answers, strict=True):
            seeds[place] = list(map(seed_of, hits))

        async def bearing(asked: Mapping[int, Collection[str]]) -> Mapping[int, Sequence[Named]]:
            requests = [linked_request(wanted[place], sorted(names), filters) for place, names in asked.items()]
            rows = await self._search(alias, requests)
            return {place: list(map(named_of, hits)) for place, hits in zip(asked, rows, strict=True)}

        return await follow(seeds, bearing, shown, k)

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        """See ``LexicalIndex.chunk_ids``. Refreshes first: an audit must not take a new row for a missing one."""
        alias = self._alias(generation, tenant_id)
        found: dict[str, int] = {}
        after: dict[str, Any] = {}
        look = search_now
        while True:
            try:
                page = await look(self._store, alias, **_EVERY_ROW, **after)
            except FailedPrecondition as error:
                if error.reason != "INDEX_MISSING":
                    raise
                return {}
            hits = page["hits"]["hits"]
            rows = (candidate_of(hit["sort"][0], 0.0) for hit in hits)
            found.update((row.chunk_id, row.chunks_version) for row in rows)
            if len(hits) < MAX_HITS:
                return found
            look, after = search, {"search_after": hits[-1]["sort"]}

    async def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """See ``LexicalIndex.scan``. In the order of chunk ids; of what was written before it began."""
        request: dict[str, Any] = {
            "sort": [{ORIGIN: "asc"}],
            "size": SCAN_PAGE,
            "source_includes": list(AUDITED),
            "track_total_hits": False,
        }
        look = search_now
        while True:
            try:
                page = await look(self._store, self._alias(generation, tenant_id), **request)
            except FailedPrecondition as error:
                if error.reason != "INDEX_MISSING":
                    raise
                return
            hits = page["hits"]["hits"]
            if hits:
                yield [indexed_row_of(hit["_source"]) for hit in hits]
            if len(hits) < SCAN_PAGE:
                return
            look, request["search_after"] = search, hits[-1]["sort"]

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """See ``LexicalIndex.look_up``. In real time."""
        alias = self._alias(generation, tenant_id)
        try:
            found = await get_many(self._store, alias, list(dict.fromkeys(chunk_ids)), source=AUDITED)
        except FailedPrecondition as error:
            if error.reason != "INDEX_MISSING":
                raise
            return []
        return [indexed_row_of(row.source) for row in found if row is not None]

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        """See ``LexicalIndex.drop_tenant``."""
        dropped = tenant_group(tenant_id) if generation is None else alias_of(generation, tenant_id)
        client, group = self._store.client, self._store.name(dropped)
        with store_errors():
            named = await client.options(ignore_status=404).indices.get_alias(name=group)
            if named.meta.status != 404:
                # By their own names: an alias can't be deleted with what it stands for.
                await client.indices.delete(index=list(named.body), ignore_unavailable=True)
        self._created.clear()

    async def differences(self) -> list[str]:
        """What differs from the expected in the indexes that are there, one sentence each."""
        return await differences_of_all(self._store, EVERY_INDEX, EXPECTED)

    def _alias(self, generation: str, tenant_id: str) -> str:
        return self._store.name(alias_of(generation, tenant_id))

    async def _ensure(self, spec: IndexSpec) -> None:
        if spec.alias not in self._created:
            if not await create(self._store, spec):
                await self._add_links(spec)
            self._created.add(spec.alias)

    async def _add_links(self, spec: IndexSpec) -> None:
        """An index of before gets the fields of links: a strict mapping would refuse them. Idempotent."""
        with store_errors():
            await self._store.client.indices.put_mapping(index=self._store.name(spec.alias), properties=LINK_PROPERTIES)

    async def _change(self, writes: Iterable[Write]) -> None:
        """Writes that concern rows which are there: none are in an index that is missing."""
        try:
            await bulk(self._store, list(writes))
        except FailedPrecondition as error:
            if error.reason != "INDEX_MISSING":
                raise

    async def _search(self, alias: str, requests: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
        """Hits of every request, in one round trip. None from an index that is missing."""
        if not requests:
            return []
        header = {
            "index": alias,
            "ignore_unavailable": True,
            "allow_partial_search_results": False,
            "search_type": self._search_type,
        }
        with store_errors():
            response = await self._store.client.msearch(searches=[part for each in requests for part in (header, each)])
        hits: list[Sequence[Mapping[str, Any]]] = []
        for answer in response["responses"]:
            error = answer.get("error")
            if error is None:
                hits.append(answer["hits"]["hits"])
            elif error["type"] == "index_not_found_exception":
                hits.append(())  # dropped in the midst of the search
            else:
                raise error_of(int(answer["status"]), str(error["type"]))
        return hits

    async def _rarest(self, alias: str, terms: list[str]) -> list[str]:
        if len(terms) <= MAX_QUERY_TERMS:
            return terms
        indexed = list(dict.fromkeys(map(index_term, terms)))
        with store_errors():
            response = await self._store.client.options(ignore_status=404).termvectors(
                index=alias,
                doc={TEXT: " ".join(indexed)},
                fields=[TEXT],
                term_statistics=True,
                field_statistics=False,
                positions=False,
                offsets=False,
            )
        known = response.body.get("term_vectors", {}).get(TEXT, {}).get("terms", {})
        frequencies = [(known.get(term, {}).get("doc_freq", 0), place) for place, term in enumerate(indexed)]
        kept = sorted((frequency, place) for frequency, place in frequencies if frequency)[:MAX_QUERY_TERMS]
        return [indexed[place] for _, place in kept]
