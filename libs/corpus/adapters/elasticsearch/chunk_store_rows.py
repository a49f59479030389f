"""The documents of the chunk store's two indexes.

chunks      one per chunk and per section, found by id only: nothing of them is indexed. A chunk carries the
            description of its document, so that a search hit takes one read.
manifests   one per stored version: which chunks and sections it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.documents import Found, document_id
from chassis.elasticsearch.indexes import IndexSpec
from corpus.adapters.values import metadata_from_text, metadata_to_text, origin_from_text, origin_to_text
from corpus.domain import Chunk, ChunkedDocument, DocumentKey, Section
from corpus.ports import StoredChunk

CHUNKS: Final = "chunks"
MANIFESTS: Final = "chunk-manifests"

_STORED: Final = {"type": "object", "enabled": False}
SPECS: Final = (
    IndexSpec(
        CHUNKS,
        {"chunk": _STORED, "document": _STORED, "section": _STORED},
        # Nobody searches it. A refresh only moves what was written from the translog, where reads by id are slower.
        {"index": {"refresh_interval": "5s"}},
    ),
    IndexSpec(
        MANIFESTS,
        {
            "tenant_id": {"type": "keyword", "doc_values": False},
            "document_id": {"type": "keyword"},
            "chunks_version": {"type": "long", "index": False},
            "generation": {"type": "keyword", "index": False},
            "stored_at": {"type": "long", "index": False},
            "rows": _STORED,
            "version": _STORED,
        },
        {"index": {"refresh_interval": "5s"}},
    ),
)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Identity of a stored version."""

    key: DocumentKey
    chunks_version: int
    generation: str

    @property
    def row_id(self) -> str:
        """``_id`` of its manifest."""
        return document_id(self.key.tenant_id, self.key.document_id, str(self.chunks_version), self.generation)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which rows a version has, or may have while it is being written or removed.

    Attributes:
        stored_at: When the last write of it began.
        epoch: Greater with every write and removal of this version. Its rows are written and deleted with it as their
            external version: whatever arrives late, of a write or removal that another one has overtaken, is refused.
        chunk_ids, section_ordinals: Its rows.
    """

    version: Version
    stored_at: datetime
    epoch: int
    chunk_ids: tuple[str, ...]
    section_ordinals: tuple[int, ...]
    described: Mapping[str, Any] = field(default_factory=dict)
    """The document's description and the version's origin, as ``described`` writes them."""
    sealed: bool = False
    """All its rows are known to be in the indexes."""

    def row_ids(self) -> Iterator[str]:
        """``_id`` of every row."""
        for ordinal in self.section_ordinals:
            yield section_row_id(self.version, ordinal)
        for chunk_id in self.chunk_ids:
            yield chunk_row_id(self.version.key.tenant_id, chunk_id)

    def joined_with(self, other: Manifest) -> Manifest:
        """This manifest with the other one's rows besides its own."""
        return replace(
            self,
            chunk_ids=tuple(dict.fromkeys((*self.chunk_ids, *other.chunk_ids))),
            section_ordinals=tuple(dict.fromkeys((*self.section_ordinals, *other.section_ordinals))),
        )

    def without(self, other: Manifest) -> Manifest:
        """This manifest with only those rows that the other one does not have."""
        chunks, sections = set(other.chunk_ids), set(other.section_ordinals)
        return replace(
            self,
            chunk_ids=tuple(chunk_id for chunk_id in self.chunk_ids if chunk_id not in chunks),
            section_ordinals=tuple(ordinal for ordinal in self.section_ordinals if ordinal not in sections),
        )

    def row(self) -> Mapping[str, Any]:
        """As it is stored."""
        return {
            "tenant_id": self.version.key.tenant_id,
            "document_id": self.version.key.document_id,
            "chunks_version": self.version.chunks_version,
            "generation": self.version.generation,
            "stored_at": to_micros(self.stored_at),
            "rows": {
                "epoch": self.epoch,
                "chunks": self.chunk_ids,
                "sections": self.section_ordinals,
                "sealed": self.sealed,
            },
            "version": self.described,
        }


def manifest_of(found: Found) -> Manifest:
    """Inverse of ``Manifest.row``."""
    row = found.source
    rows = row["rows"]
    return Manifest(
        Version(DocumentKey(row["tenant_id"], row["document_id"]), row["chunks_version"], row["generation"]),
        from_micros(row["stored_at"]),
        rows["epoch"],
        tuple(rows["chunks"]),
        tuple(rows["sections"]),
        row.get("version", {}),
        rows.get("sealed", False),
    )


def described(document: ChunkedDocument) -> Mapping[str, Any]:
    """What a manifest says of a version besides its rows."""
    return {**document_row(document), "origin": origin_to_text(document.origin)}


def version_of(manifest: Manifest, sections: Sequence[Section], chunks: Sequence[Chunk]) -> ChunkedDocument:
    """The version as it was put, with those of its rows that are there."""
    version, said = manifest.version, manifest.described
    return ChunkedDocument(
        version.key,
        version.chunks_version,
        version.generation,
        said.get("title", ""),
        said.get("doc_type", ""),
        said.get("uri", ""),
        said.get("language", ""),
        metadata_from_text(said.get("metadata", "")),
        from_micros(said.get("updated_at", 0)),
        sections,
        chunks,
        origin_from_text(said.get("origin", "")),
    )


def chunk_row_id(tenant_id: str, chunk_id: str) -> str:
    """``_id`` of a chunk."""
    return document_id("chunk", tenant_id, chunk_id)


def section_row_id(version: Version, ordinal: int) -> str:
    """``_id`` of a section."""
    key = version.key
    return document_id(
        "section", key.tenant_id, key.document_id, str(version.chunks_version), version.generation, str(ordinal)
    )


def document_row(document: ChunkedDocument) -> Mapping[str, Any]:
    """The description that every chunk carries. Repeated in neighbouring rows it is compressed away."""
    return {
        "title": document.title,
        "doc_type": document.doc_type,
        "uri": document.uri,
        "language": document.language,
        "metadata": metadata_to_text(document.metadata),
        "updated_at": to_micros(document.updated_at),
    }


def chunk_row(chunk: Chunk, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A chunk with its document's description."""
    return {
        "chunk": {
            "id": chunk.chunk_id,
            "document_id": chunk.key.document_id,
            "version": chunk.chunks_version,
            "ordinal": chunk.ordinal,
            "generation": chunk.generation,
            "text": chunk.text,
            "start": chunk.start,
            "end": chunk.end,
            "section": chunk.section_ordinal,
            "headings": chunk.heading_path,
            "page": chunk.page,
            "kind": chunk.kind,
            "tokens": chunk.token_count,
            "sha256": chunk.content_sha256,
        },
        "document": document,
    }


def section_row(section: Section) -> Mapping[str, Any]:
    """A section."""
    return {
        "section": {
            "ordinal": section.ordinal,
            "headings": section.heading_path,
            "start": section.start,
            "end": section.end,
            "text": section.text,
            "page": section.page,
        }
    }


def chunk_of(tenant_id: str, row: Mapping[str, Any]) -> Chunk:
    """The chunk of a ``chunk_row``."""
    chunk = row["chunk"]
    return Chunk(
        chunk["id"],
        DocumentKey(tenant_id, chunk["document_id"]),
        chunk["version"],
        chunk["ordinal"],
        chunk["generation"],
        chunk["text"],
        chunk["start"],
        chunk["end"],
        chunk["section"],
        tuple(chunk["headings"]),
        chunk["page"],
        chunk["kind"],
        chunk["tokens"],
        chunk["sha256"],
    )


def stored_chunk_of(tenant_id: str, row: Mapping[str, Any]) -> StoredChunk:
    """The chunk of a ``chunk_row`` with its document's description."""
    document = row["document"]
    return StoredChunk(
        chunk_of(tenant_id, row),
        document["title"],
        document["doc_type"],
        document["uri"],
        document["language"],
        metadata_from_text(document["metadata"]),
        from_micros(document["updated_at"]),
    )


def section_of(row: Mapping[str, Any]) -> Section:
    """Inverse of ``section_row``."""
    section = row["section"]
    return Section(
        section["ordinal"],
        tuple(section["headings"]),
        section["start"],
        section["end"],
        section["text"],
        section["page"],
    )


def rows_of(document: ChunkedDocument) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(``_id``, row) of every section and chunk."""
    version = Version(document.key, document.chunks_version, document.generation)
    for section in document.sections:
        yield section_row_id(version, section.ordinal), section_row(section)
    description = document_row(document)
    for chunk in document.chunks:
        yield chunk_row_id(document.key.tenant_id, chunk.chunk_id), chunk_row(chunk, description)
