"""LexicalIndex in memory, for tests and simulation: BM25 by its formula, over all rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from corpus.adapters.lexical_links import MOST_LINKED, SEED_ROWS, Named, Seed, follow
from corpus.adapters.memory.rows import RowTable
from corpus.domain import AccessPolicy, Candidate, IndexedRow, LexicalRow
from corpus.index_ports import MayBeShown
from corpus.ports import Prefilter

_K1, _B = 1.2, 0.75


class MemoryLexicalIndex:
    """Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009, with Lucene's inverse document frequency.
    All fields count as one. One process only."""

    def __init__(self) -> None:
        self._rows = RowTable[LexicalRow]()

    async def write(self, generation: str, rows: Sequence[LexicalRow]) -> None:
        """See ``LexicalIndex.write``."""
        self._rows.put(generation, rows)

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None:
        """See ``LexicalIndex.set_access``."""
        self._rows.set_access(generation, tenant_id, chunk_ids, access)

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        """See ``LexicalIndex.delete``."""
        self._rows.delete(generation, tenant_id, chunk_ids)

    async def search(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter
    ) -> Sequence[Sequence[Candidate]]:
        """See ``LexicalIndex.search``."""
        counts = {row.chunk_id: _counts(row) for row in self._rows.all(generation, prefilter.tenant_id)}
        readable = list(self._rows.readable(generation, prefilter))
        return [self._best(set(terms), readable, counts, k) for terms in queries]

    async def linked(
        self, generation: str, queries: Sequence[Sequence[str]], k: int, prefilter: Prefilter, shown: MayBeShown
    ) -> Sequence[Sequence[Candidate]]:
        """See ``LexicalIndex.linked``."""
        rows = {row.chunk_id: row for row in self._rows.readable(generation, prefilter)}
        ranked = await self.search(generation, queries, len(rows), prefilter)
        if k < 1:
            return [()] * len(queries)

        async def bearing(asked: Mapping[int, Collection[str]]) -> Mapping[int, Sequence[Named]]:
            return {place: _bearing(set(names), ranked[place], rows) for place, names in asked.items()}

        seeds = [[_seed(each, rows[each.chunk_id]) for each in found[:SEED_ROWS]] for found in ranked]
        return await follow(seeds, bearing, shown, k)

    async def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        """See ``LexicalIndex.chunk_ids``."""
        return self._rows.chunk_ids(generation, tenant_id)

    async def scan(self, generation: str, tenant_id: str) -> AsyncIterator[Sequence[IndexedRow]]:
        """See ``LexicalIndex.scan``."""
        for page in self._rows.scan(generation, tenant_id):
            yield page

    async def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """See ``LexicalIndex.look_up``."""
        return self._rows.look_up(generation, tenant_id, chunk_ids)

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        """See ``LexicalIndex.drop_tenant``."""
        self._rows.drop_tenant(tenant_id, generation)

    def _best(
        self, terms: set[str], rows: Sequence[LexicalRow], counts: Mapping[str, Counter[str]], k: int
    ) -> Sequence[Candidate]:
        average = sum(each.total() for each in counts.values()) / max(1, len(counts))
        found = []
        for row in rows:
            count = counts[row.chunk_id]
            if not terms.isdisjoint(count):
                norm = _K1 * (1 - _B + _B * count.total() / average)
                score = sum(
                    _idf(term, counts) * count[term] * (_K1 + 1) / (count[term] + norm) for term in sorted(terms)
                )
                found.append(Candidate(row.chunk_id, row.key.document_id, row.chunks_version, score))
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.chunk_id))[:k]


def _counts(row: LexicalRow) -> Counter[str]:
    return Counter((*row.title_terms, *row.heading_terms, *row.body_terms))


def _idf(term: str, counts: Mapping[str, Counter[str]]) -> float:
    containing = sum(term in each for each in counts.values())
    return math.log(1 + (len(counts) - containing + 0.5) / (containing + 0.5))


def _seed(found: Candidate, row: LexicalRow) -> Seed:
    return Seed(found.document_id, found.chunks_version, found.score, row.names, row.mentions)


def _bearing(names: set[str], found: Sequence[Candidate], rows: Mapping[str, LexicalRow]) -> Sequence[Named]:
    scores = {each.chunk_id: each.score for each in found}
    bearing = [row for row in rows.values() if not names.isdisjoint(row.names)]
    bearing.sort(key=lambda row: (-scores.get(row.chunk_id, 0.0), row.chunk_id))
    return [Named(row.chunk_id, row.key.document_id, row.chunks_version, row.names) for row in bearing[:MOST_LINKED]]
