"""Holds in corpus.sqlite: statements of ``SqliteHeads``."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any, Final

from chassis.clock import from_micros, to_micros
from corpus.adapters.values import id_list
from corpus.domain import DocumentKey, Hold

_COLUMNS: Final = "tenant_id, document_id, version, held, changed_at, said_by, reason"
_PUT: Final = (
    f"INSERT INTO holds ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - names of our own
    " ON CONFLICT (tenant_id, document_id) DO UPDATE SET version = excluded.version, held = excluded.held,"
    " changed_at = excluded.changed_at, said_by = excluded.said_by, reason = excluded.reason"
    " WHERE excluded.version > holds.version"
)
_ANY_HELD: Final = "SELECT 1 FROM holds WHERE tenant_id = ? AND held = 1 LIMIT 1"
_HELD: Final = (
    "SELECT document_id FROM holds WHERE tenant_id = ? AND held = 1 AND document_id IN (SELECT value FROM json_each(?))"
)


def put(connection: sqlite3.Connection, hold: Hold) -> bool:
    """Whether the hold is what is there now."""
    row = (
        hold.key.tenant_id,
        hold.key.document_id,
        hold.version,
        int(hold.held),
        to_micros(hold.changed_at),
        hold.by,
        hold.reason,
    )
    return bool(connection.execute(_PUT, row).rowcount) or get(connection, hold.key) == hold


def get(connection: sqlite3.Connection, key: DocumentKey) -> Hold | None:
    """The document's hold."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM holds WHERE tenant_id = ? AND document_id = ?",  # noqa: S608
        (key.tenant_id, key.document_id),
    ).fetchone()
    return _hold_of(row) if row else None


def page(connection: sqlite3.Connection, tenant_id: str, after: str, limit: int, include_released: bool) -> list[Hold]:
    """A tenant's holds in order of document ids."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM holds WHERE tenant_id = ? AND document_id > ? AND held >= ?"  # noqa: S608
        " ORDER BY document_id LIMIT ?",
        (tenant_id, after, 0 if include_released else 1, limit),
    )
    return [_hold_of(row) for row in rows]


def held_among(connection: sqlite3.Connection, tenant_id: str, document_ids: Collection[str]) -> set[str]:
    """Those of the documents that are held. Nearly always none of the tenant is, which one look at an index tells."""
    if not document_ids or connection.execute(_ANY_HELD, (tenant_id,)).fetchone() is None:
        return set()
    return {row[0] for row in connection.execute(_HELD, (tenant_id, id_list(document_ids)))}


def _hold_of(row: tuple[Any, ...]) -> Hold:
    tenant_id, document_id, version, held, changed_at, by, reason = row
    return Hold(DocumentKey(tenant_id, document_id), version, bool(held), from_micros(changed_at), by, reason)
