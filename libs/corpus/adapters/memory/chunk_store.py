"""Chunks and sections in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from corpus.domain import Chunk, ChunkedDocument, DocumentKey, Section, StoredRow
from corpus.ports import StoredChunk, StoredVersion

_VersionKey = tuple[DocumentKey, int, str]


@dataclass(frozen=True, slots=True)
class _Version:
    document: ChunkedDocument
    stored_at: datetime
    sealed: bool = False


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryChunkStore:
    """Payloads by id. ``now`` gives the time that ``StoredVersion.stored_at`` records."""

    def __init__(self, now: Callable[[], datetime] = _utc_now) -> None:
        self._now = now
        self._versions: dict[_VersionKey, _Version] = {}
        self._chunks: dict[tuple[str, str], tuple[Chunk, _Version]] = {}

    async def put(self, document: ChunkedDocument) -> None:
        """Stores a version; see the port."""
        await self.delete(document.key, document.chunks_version, document.generation)
        version = _Version(document, self._now())
        self._versions[document.key, document.chunks_version, document.generation] = version
        for chunk in document.chunks:
            self._chunks[document.key.tenant_id, chunk.chunk_id] = (chunk, version)

    async def seal(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Notes that all rows of a version are in the indexes; see the port."""
        version = self._versions.get((key, chunks_version, generation))
        if version is not None:
            self._versions[key, chunks_version, generation] = replace(version, sealed=True)

    async def get_chunks(self, tenant_id: str, chunk_ids: Collection[str]) -> Mapping[str, StoredChunk]:
        """Chunks by id; see the port."""
        found = {chunk_id: self._chunks.get((tenant_id, chunk_id)) for chunk_id in chunk_ids}
        return {chunk_id: _stored(*entry) for chunk_id, entry in found.items() if entry is not None}

    async def get_sections(
        self, tenant_id: str, wanted: Collection[tuple[str, int, str, int]]
    ) -> Mapping[tuple[str, int, str, int], Section]:
        """Sections by (document_id, chunks_version, generation, ordinal); see the port."""
        found: dict[tuple[str, int, str, int], Section] = {}
        for document_id, chunks_version, generation, ordinal in wanted:
            version = self._versions.get((DocumentKey(tenant_id, document_id), chunks_version, generation))
            for section in version.document.sections if version else ():
                if section.ordinal == ordinal:
                    found[document_id, chunks_version, generation, ordinal] = section
        return found

    async def chunks_of(self, key: DocumentKey, chunks_version: int, generation: str) -> Sequence[Chunk]:
        """All chunks of one version; see the port."""
        version = self._versions.get((key, chunks_version, generation))
        return sorted(version.document.chunks, key=lambda chunk: chunk.ordinal) if version else []

    async def get_version(self, key: DocumentKey, chunks_version: int, generation: str) -> ChunkedDocument | None:
        """A version as it was put; see the port."""
        version = self._versions.get((key, chunks_version, generation))
        return version.document if version else None

    async def rows_of(self, tenant_id: str, versions: Collection[tuple[str, int, str]]) -> Sequence[StoredRow]:
        """The chunks that are there of versions; see the port."""
        rows: list[StoredRow] = []
        for document_id, chunks_version, generation in versions:
            for chunk in await self.chunks_of(DocumentKey(tenant_id, document_id), chunks_version, generation):
                rows.append(StoredRow(chunk.chunk_id, document_id, chunks_version, generation, chunk.content_sha256))
        return rows

    async def versions_of(self, key: DocumentKey) -> Sequence[tuple[int, str]]:
        """(chunks_version, generation) pairs of the document; see the port."""
        return sorted((version, generation) for known, version, generation in self._versions if known == key)

    async def stored_versions(self, tenant_id: str, *, after: str = "", limit: int = 500) -> Sequence[StoredVersion]:
        """Stored versions of the next documents; see the port."""
        rows = sorted(
            (
                key.document_id,
                chunks_version,
                generation,
                version.stored_at,
                _object_key(version.document),
                version.sealed,
            )
            for (key, chunks_version, generation), version in self._versions.items()
            if key.tenant_id == tenant_id and key.document_id > after
        )
        page = rows[: max(limit, 1)]
        # The end of the page is rounded up to the end of its last document.
        page += [row for row in rows[len(page) :] if row[0] == page[-1][0]]
        return [StoredVersion(*row) for row in page]

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Removes one version; see the port."""
        version = self._versions.pop((key, chunks_version, generation), None)
        for chunk in version.document.chunks if version else ():
            self._chunks.pop((key.tenant_id, chunk.chunk_id), None)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes everything of the tenant."""
        for key, chunks_version, generation in list(self._versions):
            if key.tenant_id == tenant_id:
                await self.delete(key, chunks_version, generation)


def _stored(chunk: Chunk, version: _Version) -> StoredChunk:
    document = version.document
    return StoredChunk(
        chunk,
        document.title,
        document.doc_type,
        document.uri,
        document.language,
        document.metadata,
        document.updated_at,
    )


def _object_key(document: ChunkedDocument) -> str:
    return document.origin.object_key if document.origin else ""
