"""An index whose engine shows writes at its next refresh, which the suites ask for rather than wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from corpus.domain import AccessPolicy


class Refreshed:
    """Writes of an index, each followed by a refresh. That an index needs none within its stated time has a test of
    its own."""

    def __init__(self, index: Any, refresh: Callable[[], Awaitable[Any]]) -> None:
        self._index = index
        self._refresh = refresh

    async def write(self, generation: str, rows: Sequence[Any]) -> None:
        await self._index.write(generation, rows)
        await self._refresh()

    async def set_access(
        self, generation: str, tenant_id: str, chunk_ids: Collection[str], access: AccessPolicy
    ) -> None:
        await self._index.set_access(generation, tenant_id, chunk_ids, access)
        await self._refresh()

    async def delete(self, generation: str, tenant_id: str, chunk_ids: Collection[str]) -> None:
        await self._index.delete(generation, tenant_id, chunk_ids)
        await self._refresh()

    async def drop_tenant(self, tenant_id: str, generation: str | None = None) -> None:
        await self._index.drop_tenant(tenant_id, generation)
        await self._refresh()
