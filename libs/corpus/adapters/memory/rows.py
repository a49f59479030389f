"""What the two in-memory indexes share: rows by tenant, and the prefilter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from corpus.domain import AccessPolicy, LexicalRow, VectorRow
from corpus.ports import Prefilter

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

    def drop_tenant(self, tenant_id: str) -> None:
        for generation, tenant in list(self._rows):
            if tenant == tenant_id:
                del self._rows[generation, tenant]
