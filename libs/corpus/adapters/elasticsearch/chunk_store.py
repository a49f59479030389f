"""The chunk store in Elasticsearch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.bulk import Write, Written, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import MAX_HITS, Found, get, get_many, search, search_now
from chassis.errors import DependencyUnavailable
from corpus.adapters.elasticsearch.chunk_store_rows import (
    CHUNKS,
    MANIFESTS,
    SPECS,
    Manifest,
    Version,
    chunk_of,
    chunk_row_id,
    described,
    manifest_of,
    rows_of,
    section_of,
    section_row_id,
    stored_chunk_of,
    version_of,
)
from corpus.adapters.values import origin_from_text
from corpus.domain import Chunk, ChunkedDocument, DocumentKey, Section, StoredRow
from corpus.ports import StoredChunk, StoredVersion

__all__ = ["SPECS", "ElasticsearchChunkStore"]

_ATTEMPTS: Final = 20
"""Of replacing one manifest. Each time another process replaced it meanwhile."""
_PAUSE_SECONDS: Final = 0.02
_ROWS_AT_ONCE: Final = 500
"""Rows that are built, or read, before others have their turn."""
_VERSIONS_AT_ONCE: Final = 20
"""Versions removed by one request: the manifest of a large document takes megabytes."""
_ORDER: Final = [{"document_id": "asc"}, {"chunks_version": "asc"}, {"generation": "asc"}]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Held:
    """A manifest as it was read or written."""

    manifest: Manifest
    seq_no: int
    primary_term: int


class ElasticsearchChunkStore:
    """Payloads by id, for all processes. ``now`` gives the time that ``StoredVersion.stored_at`` records.

    Everything is visible at once: by id in real time, and the lists of versions refresh their (small) index before.

    A version's manifest names every row that it may have, at any moment: rows are written after the manifest that names
    them and removed before the one that does not. So whatever a crash leaves is found by the next ``put`` or
    ``delete`` of the version, and until then by whoever lists versions. Processes that write or remove one version
    at the same time are told apart by the manifest's epoch: the last one to begin wins, the others fail.
    """

    def __init__(self, store: Store, now: Callable[[], datetime] = _utc_now) -> None:
        self._store = store
        self._now = now
        self._chunks = store.name(CHUNKS)
        self._manifests = store.name(MANIFESTS)

    async def put(self, document: ChunkedDocument) -> None:
        """Stores a version; see the port. Raises DependencyUnavailable VERSION_REMOVED when it was removed, or written
        by another process, meanwhile.

        1. The manifest names the rows of before and of now. 2. Rows are written. 3. Rows that are no longer are
        deleted. 4. The manifest names the rows of now.
        """
        manifest, held = await self._begin(document)
        complete = await self._write_rows(rows_of(document), manifest.epoch)
        left = list(held.manifest.without(manifest).row_ids())
        if complete and left:
            await self._delete_rows(left, manifest.epoch)
            [written] = await bulk(self._store, [self._manifest_write(manifest, held)])
            complete = not written.conflict
        elif complete:
            there = await get(self._store, self._manifests, manifest.version.row_id, source=False)
            complete = there is not None and (there.seq_no, there.primary_term) == (held.seq_no, held.primary_term)
        if not complete:
            # What was written here and not overwritten since would be in no manifest.
            await self._delete_rows(manifest.row_ids(), manifest.epoch)
            raise DependencyUnavailable(
                "The version was removed or written anew while it was being stored; store it again.",
                reason="VERSION_REMOVED",
                retry_after_seconds=0.0,
            )

    async def _begin(self, document: ChunkedDocument) -> tuple[Manifest, _Held]:
        """The manifest as it shall be, and the one that is there now: it names what was there before, too."""
        now = self._now()
        manifest = Manifest(
            Version(document.key, document.chunks_version, document.generation),
            now,
            to_micros(now),
            tuple(chunk.chunk_id for chunk in document.chunks),
            tuple(section.ordinal for section in document.sections),
            described(document),
        )
        [written] = await bulk(self._store, [self._manifest_write(manifest, None)])
        if not written.conflict:
            return manifest, _held(manifest, written)
        for _ in range(_ATTEMPTS):
            before = await self._manifest(manifest.version)
            joined = manifest
            if before is not None:
                known = before.manifest
                manifest = replace(manifest, epoch=max(known.epoch + 1, manifest.epoch))
                joined = manifest.joined_with(known)
            [written] = await bulk(self._store, [self._manifest_write(joined, before)])
            if not written.conflict:
                return manifest, _held(joined, written)
            await _pause()
        raise _contended()

    async def _write_rows(self, rows: Iterator[tuple[str, Mapping[str, Any]]], epoch: int) -> bool:
        """Whether all of them are there now; False when somebody newer wrote or removed one."""
        while part := list(islice(rows, _ROWS_AT_ONCE)):
            writes = [Write(self._chunks, row_id, row, version=epoch) for row_id, row in part]
            if any(written.conflict for written in await bulk(self._store, writes)):
                return False
        return True

    async def _delete_rows(self, row_ids: Iterable[str], epoch: int) -> None:
        """Removes rows, except those that somebody newer wrote."""
        await bulk(self._store, [Write(self._chunks, row_id, None, version=epoch) for row_id in row_ids])

    async def seal(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Notes that all rows of a version are in the indexes; see the port."""
        for _ in range(_ATTEMPTS):
            held = await self._manifest(Version(key, chunks_version, generation))
            if held is None or held.manifest.sealed:
                return
            [written] = await bulk(self._store, [self._manifest_write(replace(held.manifest, sealed=True), held)])
            if not written.conflict:
                return
            await _pause()
        raise _contended()

    async def get_chunks(self, tenant_id: str, chunk_ids: Collection[str]) -> Mapping[str, StoredChunk]:
        """Chunks by id; see the port. One request for up to 1,000."""
        ids = list(chunk_ids)
        rows = await get_many(self._store, self._chunks, [chunk_row_id(tenant_id, chunk_id) for chunk_id in ids])
        return {
            chunk_id: stored_chunk_of(tenant_id, row.source) for chunk_id, row in zip(ids, rows, strict=True) if row
        }

    async def get_sections(
        self, tenant_id: str, wanted: Collection[tuple[str, int, str, int]]
    ) -> Mapping[tuple[str, int, str, int], Section]:
        """Sections by (document_id, chunks_version, generation, ordinal); see the port."""
        names = list(wanted)
        row_ids = [
            section_row_id(Version(DocumentKey(tenant_id, document_id), version, generation), ordinal)
            for document_id, version, generation, ordinal in names
        ]
        rows = await get_many(self._store, self._chunks, row_ids)
        return {name: section_of(row.source) for name, row in zip(names, rows, strict=True) if row}

    async def chunks_of(self, key: DocumentKey, chunks_version: int, generation: str) -> Sequence[Chunk]:
        """All chunks of one version; see the port. While it is being replaced, those of before too."""
        held = await self._manifest(Version(key, chunks_version, generation))
        row_ids = [chunk_row_id(key.tenant_id, chunk_id) for chunk_id in held.manifest.chunk_ids] if held else []
        chunks: list[Chunk] = []
        for start in range(0, len(row_ids), _ROWS_AT_ONCE):
            rows = await get_many(self._store, self._chunks, row_ids[start : start + _ROWS_AT_ONCE])
            chunks += [chunk_of(key.tenant_id, row.source) for row in rows if row]
        return sorted(chunks, key=lambda chunk: chunk.ordinal)

    async def get_version(self, key: DocumentKey, chunks_version: int, generation: str) -> ChunkedDocument | None:
        """A version as it was put; see the port."""
        version = Version(key, chunks_version, generation)
        held = await self._manifest(version)
        if held is None:
            return None
        ids = [section_row_id(version, ordinal) for ordinal in held.manifest.section_ordinals]
        sections = [section_of(row.source) for row in await get_many(self._store, self._chunks, ids) if row]
        ordered = sorted(sections, key=lambda section: section.ordinal)
        return version_of(held.manifest, ordered, await self.chunks_of(key, chunks_version, generation))

    async def rows_of(self, tenant_id: str, versions: Collection[tuple[str, int, str]]) -> Sequence[StoredRow]:
        """The chunks that are there of versions; see the port."""
        ids = [Version(DocumentKey(tenant_id, each), number, made).row_id for each, number, made in versions]
        rows: list[StoredRow] = []
        for start in range(0, len(ids), _VERSIONS_AT_ONCE):
            part = await get_many(self._store, self._manifests, ids[start : start + _VERSIONS_AT_ONCE])
            wanted = [(_read(found).manifest.version, each) for found in part if found for each in _chunks_of(found)]
            there = await get_many(
                self._store,
                self._chunks,
                [chunk_row_id(tenant_id, chunk_id) for _, chunk_id in wanted],
                source=("chunk.sha256",),
            )
            rows += [
                StoredRow(
                    chunk_id,
                    version.key.document_id,
                    version.chunks_version,
                    version.generation,
                    row.source["chunk"]["sha256"],
                )
                for (version, chunk_id), row in zip(wanted, there, strict=True)
                if row
            ]
        return rows

    async def versions_of(self, key: DocumentKey) -> Sequence[tuple[int, str]]:
        """(chunks_version, generation) pairs of the document; see the port. A request per 10,000."""
        of_document = [{"term": {"tenant_id": key.tenant_id}}, {"term": {"document_id": key.document_id}}]
        await search_now(self._store, self._manifests, size=0)
        rows = await self._all_listed(of_document)
        return [(row.chunks_version, row.generation) for row in map(_listed, rows)]

    async def stored_versions(self, tenant_id: str, *, after: str = "", limit: int = 500) -> Sequence[StoredVersion]:
        """Stored versions of the next documents; see the port."""
        of_tenant: Mapping[str, Any] = {"term": {"tenant_id": tenant_id}}
        following = [of_tenant, {"range": {"document_id": {"gt": after}}}]
        size = min(max(limit, 1), MAX_HITS)
        response = await search_now(self._store, self._manifests, **_listing(following, size))
        hits = list(response["hits"]["hits"])
        if len(hits) == size:
            # The end of the page is rounded up to the end of its last document.
            last = hits[-1]["sort"]
            hits += await self._all_listed([of_tenant, {"term": {"document_id": last[0]}}], last)
        return [_listed(hit) for hit in hits]

    async def _all_listed(
        self, filters: Sequence[Mapping[str, Any]], after: Sequence[Any] | None = None
    ) -> list[Mapping[str, Any]]:
        """All hits after that place, however many there are."""
        found: list[Mapping[str, Any]] = []
        while True:
            following = {"search_after": after} if after else {}
            response = await search(self._store, self._manifests, **_listing(filters, MAX_HITS), **following)
            hits = response["hits"]["hits"]
            found += hits
            if len(hits) < MAX_HITS:
                return found
            after = hits[-1]["sort"]

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Removes one version; see the port."""
        version = Version(key, chunks_version, generation)
        for _ in range(_ATTEMPTS):
            held = await self._manifest(version)
            if held is None or await self._remove([held]):
                return
            await _pause()
        raise _contended()

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes everything of the tenant."""
        query = {"bool": {"filter": [{"term": {"tenant_id": tenant_id}}]}}
        without_progress = 0
        while without_progress < _ATTEMPTS:
            response = await search_now(self._store, self._manifests, query=query, size=MAX_HITS, source=False)
            row_ids = [hit["_id"] for hit in response["hits"]["hits"]]
            if not row_ids:
                return
            removed = 0
            for start in range(0, len(row_ids), _VERSIONS_AT_ONCE):
                part = row_ids[start : start + _VERSIONS_AT_ONCE]
                found = await get_many(self._store, self._manifests, part)
                removed += await self._remove([_read(row) for row in found if row])
            without_progress = 0 if removed else without_progress + 1
        raise _contended()

    async def _remove(self, versions: Sequence[_Held]) -> int:
        """Removes versions, and returns how many: those whose manifest somebody else replaced meanwhile stay.

        1. A new epoch, which refuses what a put under way still writes. 2. Rows. 3. The manifest, unless a put has
        begun since.
        """
        now = to_micros(self._now())
        marked = [replace(held.manifest, epoch=max(held.manifest.epoch + 1, now)) for held in versions]
        writes = [self._manifest_write(manifest, held) for manifest, held in zip(marked, versions, strict=True)]
        outcomes = await bulk(self._store, writes)
        ours = [
            _held(manifest, written) for manifest, written in zip(marked, outcomes, strict=True) if not written.conflict
        ]
        deletes = [
            Write(self._chunks, row_id, None, version=held.manifest.epoch)
            for held in ours
            for row_id in held.manifest.row_ids()
        ]
        await bulk(self._store, deletes)
        await bulk(
            self._store,
            [
                Write(
                    self._manifests,
                    held.manifest.version.row_id,
                    None,
                    seq_no=held.seq_no,
                    primary_term=held.primary_term,
                )
                for held in ours
            ],
        )
        return len(ours)

    async def _manifest(self, version: Version) -> _Held | None:
        found = await get(self._store, self._manifests, version.row_id)
        return _read(found) if found else None

    def _manifest_write(self, manifest: Manifest, expected: _Held | None) -> Write:
        row_id, row = manifest.version.row_id, manifest.row()
        if expected is None:
            return Write(self._manifests, row_id, row, create=True)
        return Write(self._manifests, row_id, row, seq_no=expected.seq_no, primary_term=expected.primary_term)


def _held(manifest: Manifest, written: Written) -> _Held:
    return _Held(manifest, written.seq_no or 0, written.primary_term or 0)


def _read(found: Found) -> _Held:
    return _Held(manifest_of(found), found.seq_no, found.primary_term)


def _chunks_of(found: Found) -> Sequence[str]:
    return _read(found).manifest.chunk_ids


def _listing(filters: Sequence[Mapping[str, Any]], size: int) -> dict[str, Any]:
    """A search for manifests in the order of documents and versions, without their rows."""
    return {
        "query": {"bool": {"filter": filters}},
        "sort": _ORDER,
        "size": size,
        "source": ["version.origin", "rows.sealed"],
        "docvalue_fields": ["stored_at"],
        "track_total_hits": False,
    }


def _listed(hit: Mapping[str, Any]) -> StoredVersion:
    document_id, chunks_version, generation = hit["sort"]
    origin = origin_from_text(hit["_source"].get("version", {}).get("origin", ""))
    stored_at = from_micros(hit["fields"]["stored_at"][0])
    sealed = bool(hit["_source"].get("rows", {}).get("sealed", False))
    return StoredVersion(
        document_id, chunks_version, generation, stored_at, origin.object_key if origin else "", sealed
    )


async def _pause() -> None:
    # By chance, so that those who collided do not collide again.
    await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311


def _contended() -> DependencyUnavailable:
    return DependencyUnavailable(
        "Other processes write or remove the same version all the time: retry later.",
        reason="VERSION_CONTENDED",
        retry_after_seconds=1.0,
    )
