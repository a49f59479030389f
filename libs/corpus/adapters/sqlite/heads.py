"""Heads in corpus.sqlite."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chassis.clock import from_micros, to_micros
from corpus.adapters.sqlite import holds
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.values import (
    id_list,
    metadata_from_text,
    metadata_to_text,
    strings_from_text,
    strings_to_text,
    token_set_from_text,
)
from corpus.domain import AccessPolicy, DocumentKey, Head, HeadState, Hold
from corpus.ports import HeadCounts, PutOutcome

_COLUMNS = (
    "tenant_id",
    "document_id",
    "version",
    "chunks_version",
    "state",
    "access_tokens",
    "security_level",
    "generation",
    "event_id",
    "updated_at",
    "principals",
    "expires_at",
    "title",
    "doc_type",
    "uri",
    "language",
    "filename",
    "media_type",
    "metadata",
    "content_sha256",
    "description_sha256",
    "object_key",
    "size_bytes",
    "chunk_count",
    "token_count",
    "ingest_trace_id",
    "stamp",
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM heads"  # noqa: S608 - names of our own
_PUT = (
    f"INSERT INTO heads ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
    " ON CONFLICT (tenant_id, document_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
    + " WHERE excluded.version >= heads.version"
)
_STAMPS = (
    "SELECT document_id, stamp FROM heads INDEXED BY heads_stamps"
    " WHERE tenant_id = ? AND document_id IN (SELECT value FROM json_each(?))"
)
_REMEMBERED_HEADS = 20_000
"""About 40 MB when full."""

_REMEMBERED_TOKENS = 64
"""Heads with longer access lists are not remembered, so that the bound above holds."""

_AFTER_EVERY_ID = "\U0010ffff"
"""Greater than every character that a document id may contain."""


class SqliteHeads:
    """The authority on what is live, on one machine. The version compare is part of the one statement that writes.

    Every written row has a random stamp. ``get_many`` reads the stamps, which lie together in an index, and then only
    rows whose stamp it has not decoded before: what it returns is as of now, at a fraction of the cost of reading and
    decoding all.
    """

    def __init__(self, database: CorpusDatabase) -> None:
        self._database = database
        self._remembered: dict[tuple[str, int], Head] = {}
        self._guard = threading.Lock()

    async def put(self, head: Head) -> PutOutcome:
        """Writes the head unless a newer one is there; see the port."""
        row = (*_row_of(head), secrets.randbits(62))
        written = await self._database.write(lambda c: c.execute(_PUT, row).rowcount)
        return PutOutcome.APPLIED if written else PutOutcome.SUPERSEDED

    async def get(self, key: DocumentKey) -> Head | None:
        """The head or None; see the port."""

        def read(connection: sqlite3.Connection) -> Head | None:
            row = connection.execute(
                f"{_SELECT} WHERE tenant_id = ? AND document_id = ?", (key.tenant_id, key.document_id)
            ).fetchone()
            return _told(connection, key.tenant_id, [_head_of(row)])[0] if row else None

        return await self._database.read(read)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        """Heads by document id; see the port."""
        if not document_ids:
            return {}

        def read(connection: sqlite3.Connection) -> dict[str, Head]:
            found: dict[str, Head] = {}
            unknown = []
            for document_id, stamp in connection.execute(_STAMPS, (tenant_id, id_list(document_ids))).fetchall():
                head = self._remembered.get((document_id, stamp))
                if head is not None and head.key.tenant_id == tenant_id:
                    found[document_id] = head
                else:
                    unknown.append(document_id)
            if unknown:
                found.update(self._read_rows(connection, tenant_id, unknown))
            # Last: what was held before this read began is seen, whatever head it has by now.
            for document_id in holds.held_among(connection, tenant_id, found):
                found[document_id] = replace(found[document_id], held=True)
            return found

        return await self._database.read(read)

    async def list(
        self, tenant_id: str, *, after: str = "", prefix: str = "", limit: int = 100, include_deleted: bool = False
    ) -> Sequence[Head]:
        """Heads in order of document ids; see the port."""
        states = "" if include_deleted else " AND state = 'live'"

        def read(connection: sqlite3.Connection) -> list[Head]:
            rows = connection.execute(
                f"{_SELECT} WHERE tenant_id = ? AND document_id > ? AND document_id >= ? AND document_id < ?{states}"
                " ORDER BY document_id LIMIT ?",
                (tenant_id, after, prefix, prefix + _AFTER_EVERY_ID, max(limit, 0)),
            )
            return _told(connection, tenant_id, [_head_of(row) for row in rows])

        return await self._database.read(read)

    async def counts(self, tenant_id: str) -> HeadCounts:
        """Live documents, chunks and tokens."""

        def read(connection: sqlite3.Connection) -> HeadCounts:
            row = connection.execute(
                "SELECT count(*), coalesce(sum(chunk_count), 0), coalesce(sum(token_count), 0) FROM heads"
                " WHERE tenant_id = ? AND state = 'live'",
                (tenant_id,),
            ).fetchone()
            return HeadCounts(*row)

        return await self._database.read(read)

    async def purge(self, key: DocumentKey, version: int) -> None:
        """Forgets a tombstone of that version; see the port."""
        sql = "DELETE FROM heads WHERE tenant_id = ? AND document_id = ? AND version = ? AND state = 'deleted'"
        await self._database.write(lambda c: c.execute(sql, (key.tenant_id, key.document_id, version)))

    async def set_hold(self, hold: Hold) -> PutOutcome:
        """Writes the hold unless a newer one is there; see the port."""
        written = await self._database.write(lambda c: holds.put(c, hold))
        return PutOutcome.APPLIED if written else PutOutcome.SUPERSEDED

    async def hold(self, key: DocumentKey) -> Hold | None:
        """The hold or None; see the port."""
        return await self._database.read(lambda c: holds.get(c, key))

    async def holds(
        self, tenant_id: str, *, after: str = "", limit: int = 100, include_released: bool = False
    ) -> Sequence[Hold]:
        """Holds in order of document ids; see the port."""
        return await self._database.read(lambda c: holds.page(c, tenant_id, after, max(limit, 0), include_released))

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's heads and holds."""

        def drop(connection: sqlite3.Connection) -> None:
            for table in ("heads", "holds"):
                connection.execute(f"DELETE FROM {table} WHERE tenant_id = ?", (tenant_id,))  # noqa: S608

        await self._database.write(drop)

    def _read_rows(
        self, connection: sqlite3.Connection, tenant_id: str, document_ids: Collection[str]
    ) -> dict[str, Head]:
        rows = connection.execute(
            f"{_SELECT} WHERE tenant_id = ? AND document_id IN (SELECT value FROM json_each(?))",  # noqa: S608
            (tenant_id, id_list(document_ids)),
        ).fetchall()
        found = {}
        with self._guard:
            for row in rows:
                head = found[row[1]] = _head_of(row)
                if len(head.access.tokens) <= _REMEMBERED_TOKENS:
                    self._remembered[row[1], row[-1]] = head
            while len(self._remembered) > _REMEMBERED_HEADS:
                del self._remembered[next(iter(self._remembered))]
        return found


def _told(connection: sqlite3.Connection, tenant_id: str, heads: Sequence[Head]) -> list[Head]:
    held = holds.held_among(connection, tenant_id, [head.key.document_id for head in heads])
    return [replace(head, held=True) if head.key.document_id in held else head for head in heads]


def _row_of(head: Head) -> tuple[object, ...]:
    return (
        head.key.tenant_id,
        head.key.document_id,
        head.version,
        head.chunks_version,
        head.state.value,
        strings_to_text(sorted(head.access.tokens)),
        head.access.security_level,
        head.generation,
        head.event_id,
        to_micros(head.updated_at),
        strings_to_text(head.principals),
        None if head.expires_at is None else to_micros(head.expires_at),
        head.title,
        head.doc_type,
        head.uri,
        head.language,
        head.filename,
        head.media_type,
        metadata_to_text(head.metadata),
        head.content_sha256,
        head.description_sha256,
        head.object_key,
        head.size_bytes,
        head.chunk_count,
        head.token_count,
        head.ingest_trace_id,
    )


def _head_of(row: tuple[Any, ...]) -> Head:
    # SQLite's STRICT tables guarantee what each column holds.
    (tenant_id, document_id, version, chunks_version, state, tokens, level, generation, event_id, updated_at,
     principals, expires_at, title, doc_type, uri, language, filename, media_type, metadata, *rest,
     _stamp) = row  # fmt: skip
    return Head(
        DocumentKey(tenant_id, document_id),
        version,
        chunks_version,
        HeadState(state),
        AccessPolicy(token_set_from_text(tokens), level),
        generation,
        event_id,
        from_micros(updated_at),
        strings_from_text(principals),
        None if expires_at is None else from_micros(expires_at),
        title,
        doc_type,
        uri,
        language,
        filename,
        media_type,
        metadata_from_text(metadata),
        *rest,
    )
