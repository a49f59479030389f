"""Reading one tantivy index, also while another process writes it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from threading import Lock

import tantivy

from corpus.adapters.lexical_links import MOST_LINKED, SEED_ROWS, Named, Seed
from corpus.adapters.lexical_ranking import HEADLINE_WEIGHT, MAX_QUERY_TERMS
from corpus.adapters.tantivy.facets import FIELD as FACETS
from corpus.adapters.tantivy.facets import filter_query
from corpus.adapters.tantivy.schema import (
    ACCESS,
    CHUNK_ID,
    HEADLINE,
    LEVEL,
    NAMES,
    ROW,
    TEXT,
    Origin,
    access_term,
    indexed_row_of,
    knows_links,
    links_of,
    origin_of,
)
from corpus.domain import Candidate, IndexedRow
from corpus.filters import Filter
from corpus.ports import Prefilter

_TIE_SLACK = 16
# Below this many terms a union of term queries is faster than building the automaton of a set query (measured at
# 50,000 rows).
_UNION_LIMIT = 12

_REMEMBERED_ORIGINS = 65_536
"""About 20 MB when full, as much as the int8 vectors of so many rows."""

_Row = int | float | None
"""Value of the column ROW: the binding knows no unsigned integers."""

_Signature = tuple[int, int, int, int]


class Snapshot:
    """One committed state of an index. Immutable, shared by threads."""

    def __init__(self, searcher: tantivy.Searcher, schema: tantivy.Schema, origins: dict[_Row, Origin]) -> None:
        self._searcher = searcher
        self._schema = schema
        self._origins = origins
        self.terms_with_prefix = lru_cache(maxsize=64)(self._terms_with_prefix)
        self._knows_links = knows_links(schema)
        self._levels = sorted(int(level) for level, _ in searcher.terms_with_prefix(LEVEL, ""))
        self._access_query = lru_cache(maxsize=64)(self._build_access_query)
        self._filter_query = lru_cache(maxsize=256)(self._build_filter_query)

    def search(self, terms: Sequence[str], k: int, prefilter: Prefilter) -> Sequence[Candidate]:
        """The k best rows, ties by chunk id."""
        wanted = self._rarest(list(dict.fromkeys(terms)))
        return [candidate for candidate, _ in self._best(wanted, k, prefilter)]

    def seeds(self, terms: Sequence[str], prefilter: Prefilter) -> Sequence[Seed]:
        """The best rows, with what they mention."""
        if not self._knows_links:
            return ()
        wanted = self._rarest(list(dict.fromkeys(terms)))
        return [self._seed(*each) for each in self._best(wanted, SEED_ROWS, prefilter)]

    def named(self, terms: Sequence[str], names: Collection[str], prefilter: Prefilter) -> Sequence[Named]:
        """Rows that bear one of the names, those first that have most to do with the terms."""
        wanted = self._rarest(list(dict.fromkeys(terms)))
        # Most mentions are no document's name: asking for each of them first makes a quarter of the work.
        borne = [name for name in names if self._searcher.doc_freq(NAMES, name)] if self._knows_links else []
        if not borne:
            return ()
        required = [tantivy.Query.const_score_query(self._any_of(NAMES, borne), 0.0), *self._required(prefilter)]
        clauses = [(tantivy.Occur.Must, each) for each in required]
        clauses += [(tantivy.Occur.Should, self._term(TEXT, term)) for term in wanted]
        hits = self._searcher.search(tantivy.Query.boolean_query(clauses), MOST_LINKED, count=False).hits
        return [self._named(address) for _, address in hits]

    def _seed(self, candidate: Candidate, address: tantivy.DocAddress) -> Seed:
        return Seed(
            candidate.document_id, candidate.chunks_version, candidate.score, *links_of(self._searcher.doc(address))
        )

    def _named(self, address: tantivy.DocAddress) -> Named:
        document = self._searcher.doc(address)
        origin = origin_of(document)
        return Named(origin.chunk_id, origin.document_id, origin.chunks_version, links_of(document)[0])

    def chunk_ids(self) -> dict[str, int]:
        """chunk_id → chunks_version of every row."""
        total = self._searcher.num_docs
        if total == 0:
            return {}
        hits = self._searcher.search(tantivy.Query.all_query(), total, count=False).hits
        origins = (origin_of(self._searcher.doc(address)) for _, address in hits)
        return {origin.chunk_id: origin.chunks_version for origin in origins}

    def addresses(self) -> Sequence[tantivy.DocAddress]:
        """Where every row is; good for as long as this snapshot is held."""
        total = self._searcher.num_docs
        if total == 0:
            return ()
        hits = self._searcher.search(tantivy.Query.all_query(), total, count=False).hits
        return [address for _, address in hits]

    def indexed_rows(self, addresses: Sequence[tantivy.DocAddress]) -> Sequence[IndexedRow]:
        """What an audit sees of the rows there."""
        return [indexed_row_of(self._searcher.doc(address)) for address in addresses]

    def look_up(self, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        """What an audit sees of the rows with these ids; of one that is there twice, both."""
        if not chunk_ids:
            return ()
        query = tantivy.Query.term_set_query(self._schema, CHUNK_ID, list(chunk_ids))
        limit = len(chunk_ids) + _TIE_SLACK
        while len(hits := self._searcher.search(query, limit, count=False).hits) == limit:
            limit *= 4
        return self.indexed_rows([address for _, address in hits])

    def documents(self, chunk_ids: Sequence[str]) -> list[tantivy.Document]:
        """Stored documents of those chunk ids that exist."""
        query = tantivy.Query.term_set_query(self._schema, CHUNK_ID, list(chunk_ids))
        hits = self._searcher.search(query, max(1, len(chunk_ids)), count=False).hits
        return [self._searcher.doc(address) for _, address in hits]

    def _best(
        self, wanted: Sequence[str], k: int, prefilter: Prefilter
    ) -> Sequence[tuple[Candidate, tantivy.DocAddress]]:
        if not wanted or not prefilter.access_tokens or k < 1:
            return ()
        query = self._query(wanted, prefilter)
        limit = k + _TIE_SLACK
        while True:
            hits = self._searcher.search(query, limit, count=False).hits
            # Rows of equal score come in no useful order: all of those that tie for the last place must be in hand.
            if len(hits) < limit or hits[-1][0] < hits[k - 1][0]:
                break
            limit *= 4
        last_score = hits[k - 1][0] if len(hits) >= k else 0.0
        return self._candidates([(score, address) for score, address in hits if score >= last_score], k)

    def _candidates(
        self, hits: Sequence[tuple[float, tantivy.DocAddress]], k: int
    ) -> list[tuple[Candidate, tantivy.DocAddress]]:
        """The k best rows, best first, ties by chunk id, and where they are."""
        rows = self._searcher.fast_field_values(ROW, [address for _, address in hits])
        found: list[tuple[float, str, str, int, tantivy.DocAddress]] = []
        for (score, address), row in zip(hits, rows, strict=True):
            origin = self._origins.get(row) or self._read_origin(row, address)
            found.append((-score, origin.chunk_id, origin.document_id, origin.chunks_version, address))
        found.sort(key=itemgetter(0, 1))
        return [
            (Candidate(chunk_id, document_id, version, -score), address)
            for score, chunk_id, document_id, version, address in found[:k]
        ]

    def _read_origin(self, row: _Row, address: tantivy.DocAddress) -> Origin:
        # What a row is never changes, so it outlives this snapshot. One dict operation each: threads may share it.
        if len(self._origins) >= _REMEMBERED_ORIGINS:
            self._origins.clear()
        origin = self._origins[row] = origin_of(self._searcher.doc(address))
        return origin

    def _rarest(self, terms: list[str]) -> list[str]:
        if len(terms) <= MAX_QUERY_TERMS:
            return terms
        frequencies = [(self._searcher.doc_freq(TEXT, term), place) for place, term in enumerate(terms)]
        kept = sorted((frequency, place) for frequency, place in frequencies if frequency)[:MAX_QUERY_TERMS]
        return [terms[place] for _, place in kept]

    def _query(self, terms: Sequence[str], prefilter: Prefilter) -> tantivy.Query:
        clauses: list[tuple[tantivy.Occur, tantivy.Query]] = []
        for term in terms:
            clauses.append((tantivy.Occur.Should, self._term(TEXT, term)))
            headline = tantivy.Query.boost_query(self._term(HEADLINE, term), HEADLINE_WEIGHT)
            clauses.append((tantivy.Occur.Should, headline))
        required = [tantivy.Query.boolean_query(clauses), *self._required(prefilter)]
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, each) for each in required])

    def _required(self, prefilter: Prefilter) -> list[tantivy.Query]:
        """What a row must satisfy, without a score."""
        required = [self._access_query(prefilter.access_tokens, prefilter.clearance)]
        if prefilter.filter is not None:
            required.append(self._filter_query(prefilter.filter))
        return [tantivy.Query.const_score_query(each, 0.0) for each in required]

    def _term(self, field: str, term: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, term, "freq")

    def _build_access_query(self, tokens: frozenset[str], clearance: int) -> tantivy.Query:
        levels = [level for level in self._levels if level <= clearance]
        terms = [access_term(level, token) for level in levels for token in tokens]
        if not terms:
            return tantivy.Query.empty_query()
        return self._any_of(ACCESS, terms)

    def _any_of(self, field: str, terms: list[str]) -> tantivy.Query:
        if len(terms) > _UNION_LIMIT:
            return tantivy.Query.term_set_query(self._schema, field, terms)
        each = [tantivy.Query.term_query(self._schema, field, term, "basic") for term in terms]
        return tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in each])

    def _build_filter_query(self, row_filter: Filter) -> tantivy.Query:
        return filter_query(self._schema, row_filter.expression, self.terms_with_prefix)

    def _terms_with_prefix(self, prefix: str) -> Sequence[str]:
        # Sorted by bytes of UTF-8, which is the order of code points and so of Python strings.
        return sorted(term for term, _ in self._searcher.terms_with_prefix(FACETS, prefix))


class IndexReader:
    """The newest committed state of the index in one directory, which may not exist yet, vanish, or be made anew."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = Lock()
        self._signature: _Signature | None = None
        self._index: tantivy.Index | None = None
        self._snapshot: Snapshot | None = None
        self._origins: dict[_Row, Origin] = {}

    def snapshot(self) -> Snapshot | None:
        """The state as of now, None while there is no index. Costs one ``stat`` when nothing changed.

        Every commit replaces meta.json, so its inode, size and time tell whether there is something new; the
        directory's inode tells whether the index was dropped and made anew. Raises ValueError when the files can't be
        read.
        """
        with self._lock:
            signature = self._current_signature()
            if signature is None:
                self._signature = self._index = self._snapshot = None
                return None
            if signature != self._signature:
                self._refresh(signature)
            return self._snapshot

    def _current_signature(self) -> _Signature | None:
        try:
            directory, meta = os.stat(self._directory), os.stat(self._directory / "meta.json")
        except FileNotFoundError:
            return None
        return directory.st_ino, meta.st_ino, meta.st_mtime_ns, meta.st_size

    def _refresh(self, signature: _Signature) -> None:
        if self._index is None or self._signature is None or self._signature[0] != signature[0]:
            self._index = tantivy.Index.open(str(self._directory))
            # The other policy polls the files twice a second in a thread of its own.
            self._index.config_reader("manual")
        self._index.reload()
        self._snapshot = Snapshot(self._index.searcher(), self._index.schema, self._origins)
        self._signature = signature
