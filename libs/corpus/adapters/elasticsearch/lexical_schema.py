"""How a row looks inside the lexical index of one generation and tenant, and what that index is called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from chassis.elasticsearch.indexes import IndexSpec
from corpus.access import access_fingerprint
from corpus.adapters.facet_terms import facet_terms
from corpus.adapters.lexical_links import Named, Seed
from corpus.adapters.lexical_ranking import K1, B, all_terms, headline_terms
from corpus.domain import AccessPolicy, Candidate, IndexedRow, LexicalRow
from corpus.ids import length_prefixed

TEXT: Final = "text"
HEADLINE: Final = "headline"
ACCESS: Final = "access"
LEVEL: Final = "level"
FACETS: Final = "facets"
ORIGIN: Final = "origin"
"""Which chunk a row is: sorted by, it orders ties, and what it was sorted by comes with every hit, so that nothing else
of a row needs to be fetched."""

CONTENT: Final = "content"
"""SHA-256 of the chunk's text: read back by audits only."""

NAMES: Final = "names"
MENTIONS: Final = "mentions"
"""Read back to follow links. Indexes of before get these two fields with their next write."""

EVERY_INDEX: Final = "lexical-*"

AUDITED: Final = (ORIGIN, CONTENT, ACCESS, LEVEL)

REFRESH_INTERVAL: Final = "500ms"

# The whitespace tokenizer cuts tokens at 255 UTF-16 units, and Lucene refuses terms above 32,766 bytes.
_LONGEST_TERM: Final = 127
_SEPARATOR: Final = "\x1f"

_TERMS: Final[dict[str, Any]] = {
    "type": "text",
    "analyzer": "whitespace",
    "index_options": "freqs",
    "similarity": "lexical",
}
_PROPERTIES: Final[dict[str, Any]] = {
    TEXT: _TERMS,
    HEADLINE: _TERMS,
    ACCESS: {"type": "keyword", "doc_values": False},
    LEVEL: {"type": "long", "doc_values": False},
    FACETS: {"type": "keyword", "doc_values": False},
    ORIGIN: {"type": "keyword", "index": False},
    CONTENT: {"type": "keyword", "index": False, "doc_values": False},
}
LINK_PROPERTIES: Final[dict[str, Any]] = {
    NAMES: {"type": "keyword", "doc_values": False},
    MENTIONS: {"type": "keyword", "index": False, "doc_values": False},
}
_SETTINGS: Final[dict[str, Any]] = {
    "refresh_interval": REFRESH_INTERVAL,
    "similarity": {"lexical": {"type": "BM25", "k1": K1, "b": B}},
}

EXPECTED: Final = IndexSpec("lexical", _PROPERTIES, _SETTINGS)
"""What every index of this kind must look like; one of before lacks ``LINK_PROPERTIES``."""


def alias_of(generation: str, tenant_id: str) -> str:
    """Alias of the index of one generation and tenant. Both are hashed: they may be any text, and names of indexes may
    not."""
    return f"lexical-{_digest('index', generation, tenant_id)}"


def tenant_group(tenant_id: str) -> str:
    """Alias of all indexes of a tenant."""
    return f"lexical-tenant-{_digest('tenant', tenant_id)}"


def generation_group(generation: str) -> str:
    """Alias of all indexes of a generation."""
    return f"lexical-generation-{_digest('generation', generation)}"


def index_of(generation: str, tenant_id: str) -> IndexSpec:
    """The index of one generation and tenant."""
    return IndexSpec(
        alias_of(generation, tenant_id),
        {**_PROPERTIES, **LINK_PROPERTIES},
        _SETTINGS,
        groups=(tenant_group(tenant_id), generation_group(generation)),
        about={"generation": generation, "tenant": tenant_id},
    )


def document_of(row: LexicalRow) -> dict[str, Any]:
    """The row as a document."""
    return {
        TEXT: _joined(all_terms(row)),
        HEADLINE: _joined(headline_terms(row)),
        **access_of(row.access),
        FACETS: list(dict.fromkeys(facet_terms(row.metadata))),
        ORIGIN: _SEPARATOR.join((row.chunk_id, str(row.chunks_version), row.key.document_id)),
        CONTENT: row.content_sha256,
        NAMES: list(row.names),
        MENTIONS: list(row.mentions),
    }


def access_of(access: AccessPolicy) -> dict[str, Any]:
    """The part of a document that an access change replaces."""
    return {ACCESS: sorted(access.tokens), LEVEL: access.security_level}


def candidate_of(origin: str, score: float) -> Candidate:
    """What a hit says."""
    chunk_id, chunks_version, document_id = origin.split(_SEPARATOR, 2)
    return Candidate(chunk_id, document_id, int(chunks_version), score)


def seed_of(hit: Mapping[str, Any]) -> Seed:
    """What a hit of ``linking_request`` says of a row that may mention others."""
    row = candidate_of(hit["sort"][1], hit["sort"][0])
    source = hit["_source"]
    return Seed(row.document_id, row.chunks_version, row.score, source.get(NAMES, ()), source.get(MENTIONS, ()))


def named_of(hit: Mapping[str, Any]) -> Named:
    """What a hit of ``linked_request`` says of a row that bears names."""
    row = candidate_of(hit["sort"][1], hit["sort"][0])
    return Named(row.chunk_id, row.document_id, row.chunks_version, hit["_source"].get(NAMES, ()))


def indexed_row_of(source: Mapping[str, Any]) -> IndexedRow:
    """What an audit sees of a row: from what is really stored under ``AUDITED``."""
    chunk_id, chunks_version, document_id = str(source[ORIGIN]).split(_SEPARATOR, 2)
    access = access_fingerprint(source[ACCESS], source[LEVEL])
    return IndexedRow(chunk_id, document_id, int(chunks_version), source.get(CONTENT, ""), access)


def index_term(term: str) -> str:
    """The term as it is indexed: itself, or a digest of one that the engine would cut or refuse."""
    if len(term) <= _LONGEST_TERM:
        return term
    return hashlib.sha256(term.encode()).hexdigest()


def _joined(terms: Iterable[str]) -> str:
    return " ".join(map(index_term, terms))


def _digest(*parts: str) -> str:
    # 128 bits: no collision to be expected below 2**64 names.
    return hashlib.sha256(length_prefixed(parts)).hexdigest()[:32]
