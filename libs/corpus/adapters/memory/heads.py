"""Heads in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from corpus.domain import DocumentKey, Head, HeadState
from corpus.ports import HeadCounts, PutOutcome


class MemoryHeads:
    """The authority on what is live, within one process."""

    def __init__(self) -> None:
        self._heads: dict[DocumentKey, Head] = {}

    async def put(self, head: Head) -> PutOutcome:
        """Writes the head unless a newer one is there; see the port."""
        known = self._heads.get(head.key)
        if known is not None and known.version > head.version:
            return PutOutcome.SUPERSEDED
        self._heads[head.key] = head
        return PutOutcome.APPLIED

    async def get(self, key: DocumentKey) -> Head | None:
        """The head or None; see the port."""
        return self._heads.get(key)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        """Heads by document id; see the port."""
        keys = (DocumentKey(tenant_id, document_id) for document_id in document_ids)
        return {key.document_id: self._heads[key] for key in keys if key in self._heads}

    async def list(
        self, tenant_id: str, *, after: str = "", prefix: str = "", limit: int = 100, include_deleted: bool = False
    ) -> Sequence[Head]:
        """Heads in order of document ids; see the port."""
        wanted = [
            head
            for key, head in self._heads.items()
            if key.tenant_id == tenant_id
            # Code points and their UTF-8 bytes sort alike.
            and key.document_id > after
            and key.document_id.startswith(prefix)
            and (include_deleted or head.state is HeadState.LIVE)
        ]
        return sorted(wanted, key=lambda head: head.key)[: max(limit, 0)]

    async def counts(self, tenant_id: str) -> HeadCounts:
        """Live documents, chunks and tokens."""
        live = [h for h in self._heads.values() if h.key.tenant_id == tenant_id and h.state is HeadState.LIVE]
        return HeadCounts(len(live), sum(h.chunk_count for h in live), sum(h.token_count for h in live))

    async def purge(self, key: DocumentKey, version: int) -> None:
        """Forgets a tombstone of that version; see the port."""
        known = self._heads.get(key)
        if known is not None and known.state is HeadState.DELETED and known.version == version:
            del self._heads[key]

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's heads."""
        self._heads = {key: head for key, head in self._heads.items() if key.tenant_id != tenant_id}
