"""What the two in-memory indexes share: rows by tenant, and the prefilter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from corpus.access import policy_fingerprint
from corpus.domain import AccessPolicy, IndexedRow, LexicalRow, VectorRow
from corpus.ports import SCAN_PAGE, Prefilter

R = TypeVar("R", VectorRow, LexicalRow)


class RowTable(Generic[R]):
    """Rows by (generation, tenant) and chunk id."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, R]] = defaultdict(dict)

    def put(self, generation: str, rows: Iterable[R]) -> None:
        for row in rows:
            self._rows[generation, row.key.tenant_id][row.chunk_id] = row

    def set_access(self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy) -> None:
        rows = self._rows[generation, tenant_id]
        rows.update({each: replace(rows[each], access=access) for each in chunk_ids if each in rows})

    def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        for chunk_id in chunk_ids:
            self._rows[generation, tenant_id].pop(chunk_id, None)

    def all(self, generation: str, tenant_id: str) -> Collection[R]:
        return self._rows[generation, tenant_id].values()

    def readable(self, generation: str, prefilter: Prefilter) -> Iterator[R]:
        """The rows that satisfy the prefilter."""
        for row in self.all(generation, prefilter.tenant_id):
            named = not row.access.tokens.isdisjoint(prefilter.access_tokens)
            cleared = row.access.security_level <= prefilter.clearance
            if named and cleared and (prefilter.filter is None or prefilter.filter.matches(row.metadata)):
                yield row

    def chunk_ids(self, generation: str, tenant_id: str) -> Mapping[str, int]:
        return {row.chunk_id: row.chunks_version for row in self.all(generation, tenant_id)}

    def scan(self, generation: str, tenant_id: str) -> Iterator[Sequence[IndexedRow]]:
        """Pages of what was there when the scan began."""
        rows = list(self.all(generation, tenant_id))
        for start in range(0, len(rows), SCAN_PAGE):
            yield [_indexed(row) for row in rows[start : start + SCAN_PAGE]]

    def look_up(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> Sequence[IndexedRow]:
        rows = self._rows[generation, tenant_id]
        return [_indexed(rows[each]) for each in dict.fromkeys(chunk_ids) if each in rows]

    def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        for made, tenant in list(self._rows):
            if tenant == tenant_id and generation in (None, made):
                del self._rows[made, tenant]


def _indexed(row: VectorRow | LexicalRow) -> IndexedRow:
    return IndexedRow(
        row.chunk_id, row.key.document_id, row.chunks_version, row.content_sha256, policy_fingerprint(row.access)
    )
