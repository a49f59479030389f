"""How a row looks inside tantivy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import tantivy

from corpus.access import policy_fingerprint
from corpus.adapters.facet_terms import facet_terms
from corpus.adapters.lexical_ranking import all_terms, headline_terms
from corpus.domain import AccessPolicy, DocumentKey, IndexedRow, LexicalRow
from corpus.metadata import metadata_from_json, metadata_to_json

KIND = "lexical-v2"
"""Directory name; changes with the schema."""

TEXT = "text"
HEADLINE = "headline"

CHUNK_ID = "chunk_id"
ACCESS = "access"
LEVEL = "level"
FACETS = "facets"
ORIGIN = "origin"
ROW = "row"
"""Column with a fingerprint of the origin: stored documents are compressed in blocks, and reading two hundred of them
costs four times as much as the search itself."""
SOURCE = "source"
NAMES = "names"
LINKS = "links"
"""Names and mentions as they were, to be read back. Indexes of before have neither of these two fields."""
_SAID = 6
"""Values of the source."""


def build_schema() -> tantivy.Schema:
    """The schema. Terms arrive analysed, so text fields only split at spaces; filter fields are matched as a whole."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(CHUNK_ID, stored=True, tokenizer_name="raw", index_option="basic")
    for name in (ACCESS, LEVEL, FACETS, NAMES):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in (TEXT, HEADLINE):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    builder.add_unsigned_field(ROW, fast=True)
    builder.add_bytes_field(ORIGIN, stored=True)
    builder.add_bytes_field(SOURCE, stored=True)
    builder.add_bytes_field(LINKS, stored=True)
    return builder.build()


def access_term(level: int, token: str) -> str:
    """One term for token and level together: a filter over both is then a plain set of terms."""
    return f"{level}:{token}"


def knows_links(schema: tantivy.Schema) -> bool:
    """Whether an index has the fields of links."""
    try:
        tantivy.Query.term_query(schema, NAMES, "")
    except ValueError:
        return False
    return True


def document_of(row: LexicalRow, *, with_links: bool) -> tantivy.Document:
    """The row as a tantivy document, with everything that is needed to write it again under another access policy."""
    document = tantivy.Document()
    document.add_text(CHUNK_ID, row.chunk_id)
    for token in row.access.tokens:
        document.add_text(ACCESS, access_term(row.access.security_level, token))
    document.add_text(LEVEL, str(row.access.security_level))
    for term in facet_terms(row.metadata):
        document.add_text(FACETS, term)
    document.add_text(TEXT, " ".join(all_terms(row)))
    document.add_text(HEADLINE, " ".join(headline_terms(row)))
    origin = f"{row.chunks_version}:{row.key.document_id}".encode()
    document.add_unsigned(ROW, _fingerprint(row.chunk_id, origin))
    document.add_bytes(ORIGIN, origin)
    document.add_bytes(SOURCE, _source(row))
    if with_links:
        for name in row.names:
            document.add_text(NAMES, name)
        document.add_bytes(LINKS, json.dumps([row.names, row.mentions]).encode())
    return document


def _fingerprint(chunk_id: str, origin: bytes) -> int:
    # 64 bits: among ten million rows of one index, two are taken for each other once in 300,000 such indexes. The head
    # check would then judge the row that is shown, so the worst is a wrong rank.
    digest = hashlib.sha256(chunk_id.encode() + b"\0" + origin).digest()
    return int.from_bytes(digest[:8], "big")


def _source(row: LexicalRow) -> bytes:
    terms = (row.title_terms, row.heading_terms, row.body_terms)
    said = [*(" ".join(each) for each in terms), metadata_to_json(row.metadata)]
    # The access terms themselves are not stored; what an audit compares is written together with them.
    return json.dumps([*said, row.content_sha256, policy_fingerprint(row.access)]).encode()


@dataclass(frozen=True, slots=True)
class Origin:
    """Which chunk a document is."""

    chunk_id: str
    document_id: str
    chunks_version: int


def origin_of(document: tantivy.Document) -> Origin:
    """Reads what a candidate needs, and no more."""
    version, _, document_id = _bytes(document, ORIGIN).decode().partition(":")
    return Origin(str(document.get_first(CHUNK_ID)), document_id, int(version))


def row_of(document: tantivy.Document, tenant_id: str, access: AccessPolicy) -> LexicalRow:
    """The stored row under another access policy."""
    origin = origin_of(document)
    title, heading, body, metadata, content_sha256, _ = _said(document)
    names, mentions = links_of(document)
    return LexicalRow(
        chunk_id=origin.chunk_id,
        key=DocumentKey(tenant_id, origin.document_id),
        chunks_version=origin.chunks_version,
        access=access,
        metadata=metadata_from_json(metadata),
        title_terms=_terms(title),
        heading_terms=_terms(heading),
        body_terms=_terms(body),
        content_sha256=content_sha256,
        names=names,
        mentions=mentions,
    )


def links_of(document: tantivy.Document) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and mentions of a row."""
    if document.get_first(LINKS) is None:
        return (), ()
    names, mentions = json.loads(_bytes(document, LINKS))
    return tuple(names), tuple(mentions)


def indexed_row_of(document: tantivy.Document) -> IndexedRow:
    """What an audit sees of a row."""
    origin = origin_of(document)
    *_, content_sha256, access = _said(document)
    return IndexedRow(origin.chunk_id, origin.document_id, origin.chunks_version, content_sha256, access)


def _said(document: tantivy.Document) -> list[str]:
    said: list[str] = json.loads(_bytes(document, SOURCE))
    # Rows of before an audit knew these look like rows of no content and no access: it has them written again.
    return said if len(said) == _SAID else [*said, "", ""]


def _terms(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(" ")) if joined else ()


def _bytes(document: tantivy.Document, name: str) -> bytes:
    value = document.get_first(name)
    return value if isinstance(value, bytes) else bytes(_integers(value))


def _integers(value: object) -> Iterable[int]:
    if not isinstance(value, Iterable):
        raise TypeError("A stored bytes field must hold bytes.")
    return value
