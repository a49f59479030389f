"""Writing one tantivy index: groups of operations under one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tantivy

from corpus.adapters.tantivy.reader import Snapshot
from corpus.adapters.tantivy.schema import CHUNK_ID, build_schema, document_of, knows_links, row_of
from corpus.domain import AccessPolicy, LexicalRow

# Enough for several thousand chunks per segment; tantivy refuses less than 15 MB per thread.
WRITER_HEAP_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class WriteRows:
    """Insert or replace."""

    rows: Sequence[LexicalRow]


@dataclass(frozen=True, slots=True)
class SetAccess:
    """Replace the access policy of rows."""

    chunk_ids: Sequence[str]
    access: AccessPolicy


@dataclass(frozen=True, slots=True)
class DeleteRows:
    """Remove rows."""

    chunk_ids: Sequence[str]


Operation = WriteRows | SetAccess | DeleteRows


class IndexWriter:
    """The one writer of an index. Used by one thread at a time; the lock file keeps a second process out.

    A commit syncs about ten files, so it costs tens of milliseconds whatever it holds: that is why operations come in
    groups.
    """

    def __init__(self, directory: Path, tenant_id: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._tenant_id = tenant_id
        # One of before keeps the fields that it was made with.
        there = tantivy.Index.exists(str(directory))
        self._index = tantivy.Index.open(str(directory)) if there else tantivy.Index(build_schema(), str(directory))
        self._with_links = knows_links(self._index.schema)
        self._index.config_reader("manual")
        self._writer = self._index.writer(WRITER_HEAP_BYTES, 1)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Applies the operations in order and commits. On an error nothing after the last commit is kept, and the
        writer can't be used any more."""
        uncommitted = False
        for operation in operations:
            match operation:
                case WriteRows(rows):
                    self._replace(rows)
                case DeleteRows(chunk_ids):
                    for chunk_id in chunk_ids:
                        self._writer.delete_documents_by_term(CHUNK_ID, chunk_id)
                case SetAccess(chunk_ids, access):
                    if uncommitted:
                        # The rows may have been written just before, and only what is committed can be read back.
                        self._writer.commit()
                    self._replace(self._stored_rows(chunk_ids, access))
            uncommitted = True
        self._writer.commit()

    def close(self) -> None:
        """Waits for merges and gives the lock back."""
        self._writer.wait_merging_threads()

    def _replace(self, rows: Sequence[LexicalRow]) -> None:
        for row in rows:
            self._writer.delete_documents_by_term(CHUNK_ID, row.chunk_id)
            self._writer.add_document(document_of(row, with_links=self._with_links))

    def _stored_rows(self, chunk_ids: Sequence[str], access: AccessPolicy) -> list[LexicalRow]:
        self._index.reload()
        snapshot = Snapshot(self._index.searcher(), self._index.schema, {})
        return [row_of(document, self._tenant_id, access) for document in snapshot.documents(chunk_ids)]
