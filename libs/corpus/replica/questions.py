"""What is to be asked of the authority before a search has to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable


class Questions:
    """Documents by tenant, each at most once, bounded in number."""

    def __init__(self, max_questions: int) -> None:
        self._max_questions = max_questions
        self._tenants: dict[str, dict[str, None]] = {}
        self._size = 0
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return self._size

    def add(self, tenant_id: str, document_ids: Iterable[str]) -> None:
        """Adds documents as long as there is room."""
        documents = self._tenants.setdefault(tenant_id, {})
        before = len(documents)
        documents.update(dict.fromkeys(itertools.islice(document_ids, self._max_questions - self._size)))
        self._size += len(documents) - before
        self._some.set()

    def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's questions. Idempotent."""
        self._size -= len(self._tenants.pop(tenant_id, {}))

    def clear(self) -> None:
        """Removes all questions."""
        self._tenants.clear()
        self._size = 0

    async def take(self, at_most: int) -> tuple[str, list[str]]:
        """Waits for questions and takes some of one tenant; the tenants take turns."""
        while not self._size:
            self._some.clear()
            await self._some.wait()
        while True:
            tenant_id = next(iter(self._tenants))
            documents = self._tenants.pop(tenant_id)
            taken = list(itertools.islice(documents, at_most))
            for document_id in taken:
                del documents[document_id]
            self._size -= len(taken)
            if documents:
                self._tenants[tenant_id] = documents
            if taken:
                return tenant_id, taken
