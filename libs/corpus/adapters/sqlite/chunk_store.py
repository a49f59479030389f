"""Chunks and sections in corpus.sqlite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from chassis.clock import from_micros, to_micros
from chassis.errors import DependencyUnavailable
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.values import (
    id_list,
    metadata_from_text,
    metadata_to_text,
    origin_from_text,
    origin_to_text,
    strings_from_text,
    strings_to_text,
)
from corpus.domain import Chunk, ChunkedDocument, DocumentKey, Section, StoredRow
from corpus.ports import StoredChunk, StoredVersion

_ROWS_PER_TRANSACTION = 500
"""A large document is written in several transactions, so that others' small writes wait some milliseconds at most."""

_CHUNK = (
    "c.chunk_id, v.tenant_id, v.document_id, v.chunks_version, c.ordinal, v.generation, c.text, c.start_offset,"
    " c.end_offset, c.section_ordinal, c.heading_path, c.page, c.kind, c.token_count, c.content_sha256"
)
_SECTION = "s.ordinal, s.heading_path, s.start_offset, s.end_offset, s.text, s.page"
_DESCRIPTION = "version_id, title, doc_type, uri, language, metadata, updated_at, origin"
_VERSION_KEY = "tenant_id = ? AND document_id = ? AND chunks_version = ? AND generation = ?"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteChunkStore:
    """Payloads by id. ``now`` gives the time that ``StoredVersion.stored_at`` records."""

    def __init__(self, database: CorpusDatabase, now: Callable[[], datetime] = _utc_now) -> None:
        self._database = database
        self._now = now

    async def put(self, document: ChunkedDocument) -> None:
        """Stores a version; see the port. A crash half-way leaves a version that no head names."""
        stored_at = to_micros(self._now())
        first, *others = _slices(document)

        def begin(connection: sqlite3.Connection) -> tuple[int, bool]:
            version_id, existed = _put_version(connection, document, stored_at)
            _put_slice(connection, version_id, first)
            if existed and not others:
                _remove_leftovers(connection, version_id, document)
            return version_id, existed

        version_id, existed = await self._database.write(begin)
        for part in others:
            await self._database.write(partial(_put_slice, version_id=version_id, part=part))
        if existed and others:
            await self._database.write(lambda c: _remove_leftovers(c, version_id, document))

    async def seal(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Notes that all rows of a version are in the indexes; see the port."""
        version = (key.tenant_id, key.document_id, chunks_version, generation)
        sql = f"UPDATE versions SET sealed = 1 WHERE {_VERSION_KEY}"  # noqa: S608
        await self._database.write(lambda c: c.execute(sql, version))

    async def get_chunks(self, tenant_id: str, chunk_ids: Collection[str]) -> Mapping[str, StoredChunk]:
        """Chunks by id; see the port."""
        if not chunk_ids:
            return {}

        def read(connection: sqlite3.Connection) -> dict[str, StoredChunk]:
            rows = connection.execute(
                f"SELECT {_CHUNK}, v.title, v.doc_type, v.uri, v.language, v.metadata, v.updated_at"  # noqa: S608
                " FROM chunks c JOIN versions v USING (version_id)"
                " WHERE c.tenant_id = ? AND c.chunk_id IN (SELECT value FROM json_each(?))",
                (tenant_id, id_list(chunk_ids)),
            ).fetchall()
            return {row[0]: _stored_chunk_of(row) for row in rows}

        return await self._database.read(read)

    async def get_sections(
        self, tenant_id: str, wanted: Collection[tuple[str, int, str, int]]
    ) -> Mapping[tuple[str, int, str, int], Section]:
        """Sections by (document_id, chunks_version, generation, ordinal); see the port."""
        if not wanted:
            return {}

        def read(connection: sqlite3.Connection) -> dict[tuple[str, int, str, int], Section]:
            rows = connection.execute(
                f"SELECT v.document_id, v.chunks_version, v.generation, {_SECTION}"  # noqa: S608
                " FROM json_each(?) w"
                " CROSS JOIN versions v ON v.tenant_id = ? AND v.document_id = json_extract(w.value, '$[0]')"
                "  AND v.chunks_version = json_extract(w.value, '$[1]')"
                "  AND v.generation = json_extract(w.value, '$[2]')"
                " CROSS JOIN sections s ON s.version_id = v.version_id AND s.ordinal = json_extract(w.value, '$[3]')",
                (json.dumps([list(one) for one in wanted], ensure_ascii=False), tenant_id),
            ).fetchall()
            return {(row[0], row[1], row[2], row[3]): _section_of(row[3:]) for row in rows}

        return await self._database.read(read)

    async def chunks_of(self, key: DocumentKey, chunks_version: int, generation: str) -> Sequence[Chunk]:
        """All chunks of one version; see the port."""

        def read(connection: sqlite3.Connection) -> list[Chunk]:
            rows = connection.execute(
                f"SELECT {_CHUNK} FROM versions v JOIN chunks c USING (version_id)"  # noqa: S608
                f" WHERE v.{_VERSION_KEY.replace(' AND ', ' AND v.')} ORDER BY c.ordinal",
                (key.tenant_id, key.document_id, chunks_version, generation),
            )
            return [_chunk_of(row) for row in rows]

        return await self._database.read(read)

    async def get_version(self, key: DocumentKey, chunks_version: int, generation: str) -> ChunkedDocument | None:
        """A version as it was put; see the port."""

        def read(connection: sqlite3.Connection) -> ChunkedDocument | None:
            row = connection.execute(
                f"SELECT {_DESCRIPTION} FROM versions WHERE {_VERSION_KEY}",  # noqa: S608
                (key.tenant_id, key.document_id, chunks_version, generation),
            ).fetchone()
            if row is None:
                return None
            version_id, title, doc_type, uri, language, metadata, updated_at, origin = row
            chunks = connection.execute(
                f"SELECT {_CHUNK} FROM versions v JOIN chunks c USING (version_id)"  # noqa: S608
                " WHERE version_id = ? ORDER BY c.ordinal",
                (version_id,),
            )
            sections = connection.execute(
                f"SELECT {_SECTION} FROM sections s WHERE version_id = ? ORDER BY ordinal",  # noqa: S608
                (version_id,),
            )
            return ChunkedDocument(
                key,
                chunks_version,
                generation,
                title,
                doc_type,
                uri,
                language,
                metadata_from_text(metadata),
                from_micros(updated_at),
                [_section_of(each) for each in sections],
                [_chunk_of(each) for each in chunks],
                origin_from_text(origin),
            )

        return await self._database.read(read)

    async def rows_of(self, tenant_id: str, versions: Collection[tuple[str, int, str]]) -> Sequence[StoredRow]:
        """The chunks that are there of versions; see the port."""
        if not versions:
            return []
        wanted = json.dumps([list(one) for one in versions], ensure_ascii=False)

        def read(connection: sqlite3.Connection) -> list[StoredRow]:
            rows = connection.execute(
                "SELECT c.chunk_id, v.document_id, v.chunks_version, v.generation, c.content_sha256"
                " FROM json_each(?) w"
                " CROSS JOIN versions v ON v.tenant_id = ? AND v.document_id = json_extract(w.value, '$[0]')"
                "  AND v.chunks_version = json_extract(w.value, '$[1]')"
                "  AND v.generation = json_extract(w.value, '$[2]')"
                " CROSS JOIN chunks c ON c.version_id = v.version_id",
                (wanted, tenant_id),
            )
            return [StoredRow(*row) for row in rows]

        return await self._database.read(read)

    async def versions_of(self, key: DocumentKey) -> Sequence[tuple[int, str]]:
        """(chunks_version, generation) pairs of the document; see the port."""
        sql = (
            "SELECT chunks_version, generation FROM versions WHERE tenant_id = ? AND document_id = ?"
            " ORDER BY chunks_version, generation"
        )
        return await self._database.read(lambda c: c.execute(sql, (key.tenant_id, key.document_id)).fetchall())

    async def stored_versions(self, tenant_id: str, *, after: str = "", limit: int = 500) -> Sequence[StoredVersion]:
        """Stored versions of the next documents; see the port."""

        def read(connection: sqlite3.Connection) -> list[StoredVersion]:
            # The end of the page is rounded up to the end of its last document.
            rows = connection.execute(
                "SELECT document_id, chunks_version, generation, stored_at,"
                " CASE origin WHEN '' THEN '' ELSE json_extract(origin, '$.object_key') END, sealed"
                " FROM versions WHERE tenant_id = ?1"
                " AND document_id > ?2 AND document_id <= coalesce("
                "  (SELECT document_id FROM versions WHERE tenant_id = ?1 AND document_id > ?2"
                "   ORDER BY document_id LIMIT 1 OFFSET ?3),"
                "  (SELECT max(document_id) FROM versions WHERE tenant_id = ?1))"
                " ORDER BY document_id, chunks_version, generation",
                (tenant_id, after, max(limit, 1) - 1),
            )
            return [
                StoredVersion(document_id, version, generation, from_micros(stored_at), object_key, bool(sealed))
                for document_id, version, generation, stored_at, object_key, sealed in rows
            ]

        return await self._database.read(read)

    async def delete(self, key: DocumentKey, chunks_version: int, generation: str) -> None:
        """Removes one version; see the port."""
        version = (key.tenant_id, key.document_id, chunks_version, generation)
        await self._database.write(lambda c: _delete_versions(c, _VERSION_KEY, version))

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes everything of the tenant."""
        await self._database.write(lambda c: _delete_versions(c, "tenant_id = ?", (tenant_id,)))


def _put_version(connection: sqlite3.Connection, document: ChunkedDocument, stored_at: int) -> tuple[int, bool]:
    key = (document.key.tenant_id, document.key.document_id, document.chunks_version, document.generation)
    existed = connection.execute(f"SELECT 1 FROM versions WHERE {_VERSION_KEY}", key).fetchone() is not None  # noqa: S608
    row = connection.execute(
        "INSERT INTO versions (tenant_id, document_id, chunks_version, generation, title, doc_type, uri, language,"
        " metadata, updated_at, stored_at, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant_id, document_id, chunks_version, generation) DO UPDATE SET title = excluded.title,"
        " doc_type = excluded.doc_type, uri = excluded.uri, language = excluded.language, metadata = excluded.metadata,"
        " updated_at = excluded.updated_at, stored_at = excluded.stored_at, origin = excluded.origin,"
        " sealed = 0"
        " RETURNING version_id",
        (
            *key,
            document.title,
            document.doc_type,
            document.uri,
            document.language,
            metadata_to_text(document.metadata),
            to_micros(document.updated_at),
            stored_at,
            origin_to_text(document.origin),
        ),
    ).fetchone()
    return int(row[0]), existed


_Slice = tuple[Sequence[Section], Sequence[Chunk]]


def _slices(document: ChunkedDocument) -> list[_Slice]:
    """Sections and chunks in parts of a bounded number of rows; one, maybe empty, at least."""
    longest = max(len(document.sections), len(document.chunks), 1)
    return [
        (
            document.sections[first : first + _ROWS_PER_TRANSACTION],
            document.chunks[first : first + _ROWS_PER_TRANSACTION],
        )
        for first in range(0, longest, _ROWS_PER_TRANSACTION)
    ]


def _put_slice(connection: sqlite3.Connection, version_id: int, part: _Slice) -> None:
    if connection.execute("SELECT 1 FROM versions WHERE version_id = ?", (version_id,)).fetchone() is None:
        raise DependencyUnavailable(
            "The version was removed while it was being stored; store it again.",
            reason="VERSION_REMOVED",
            retry_after_seconds=0.0,
        )
    sections, chunks = part
    _put_sections(connection, version_id, sections)
    _put_chunks(connection, version_id, chunks)


def _put_sections(connection: sqlite3.Connection, version_id: int, sections: Sequence[Section]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO sections VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(version_id, s.ordinal, strings_to_text(s.heading_path), s.start, s.end, s.text, s.page) for s in sections],
    )


def _put_chunks(connection: sqlite3.Connection, version_id: int, chunks: Sequence[Chunk]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                chunk.key.tenant_id,
                chunk.chunk_id,
                version_id,
                chunk.ordinal,
                chunk.text,
                chunk.start,
                chunk.end,
                chunk.section_ordinal,
                strings_to_text(chunk.heading_path),
                chunk.page,
                chunk.kind,
                chunk.token_count,
                chunk.content_sha256,
            )
            for chunk in chunks
        ],
    )


def _remove_leftovers(connection: sqlite3.Connection, version_id: int, document: ChunkedDocument) -> None:
    connection.execute(
        "DELETE FROM chunks WHERE version_id = ? AND chunk_id NOT IN (SELECT value FROM json_each(?))",
        (version_id, id_list(chunk.chunk_id for chunk in document.chunks)),
    )
    connection.execute(
        "DELETE FROM sections WHERE version_id = ? AND ordinal NOT IN (SELECT value FROM json_each(?))",
        (version_id, json.dumps([section.ordinal for section in document.sections])),
    )


def _delete_versions(connection: sqlite3.Connection, condition: str, values: tuple[object, ...]) -> None:
    which = f"version_id IN (SELECT version_id FROM versions WHERE {condition})"  # noqa: S608 - conditions of our own
    connection.execute(f"DELETE FROM chunks WHERE {which}", values)  # noqa: S608
    connection.execute(f"DELETE FROM sections WHERE {which}", values)  # noqa: S608
    connection.execute(f"DELETE FROM versions WHERE {condition}", values)  # noqa: S608


def _chunk_of(row: tuple[Any, ...]) -> Chunk:
    (chunk_id, tenant_id, document_id, chunks_version, ordinal, generation, text, start, end, section_ordinal,
     heading_path, page, kind, token_count, content_sha256) = row  # fmt: skip
    return Chunk(
        chunk_id,
        DocumentKey(tenant_id, document_id),
        chunks_version,
        ordinal,
        generation,
        text,
        start,
        end,
        section_ordinal,
        strings_from_text(heading_path),
        page,
        kind,
        token_count,
        content_sha256,
    )


def _stored_chunk_of(row: tuple[Any, ...]) -> StoredChunk:
    title, doc_type, uri, language, metadata, updated_at = row[-6:]
    return StoredChunk(
        _chunk_of(row[:-6]), title, doc_type, uri, language, metadata_from_text(metadata), from_micros(updated_at)
    )


def _section_of(row: tuple[Any, ...]) -> Section:
    ordinal, heading_path, start, end, text, page = row
    return Section(ordinal, strings_from_text(heading_path), start, end, text, page)
