"""Heads in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from corpus.domain import DocumentKey, Head, HeadState, Hold
from corpus.ports import HeadCounts, PutOutcome


class MemoryHeads:
    """The authority on what is live, within one process."""

    def __init__(self) -> None:
        self._heads: dict[DocumentKey, Head] = {}
        self._holds: dict[DocumentKey, Hold] = {}

    async def put(self, head: Head) -> PutOutcome:
        """Writes the head unless a newer one is there; see the port."""
        known = self._heads.get(head.key)
        if known is not None and known.version > head.version:
            return PutOutcome.SUPERSEDED
        self._heads[head.key] = replace(head, held=False) if head.held else head
        return PutOutcome.APPLIED

    async def get(self, key: DocumentKey) -> Head | None:
        """The head or None; see the port."""
        head = self._heads.get(key)
        return None if head is None else self._told(head)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        """Heads by document id; see the port."""
        keys = (DocumentKey(tenant_id, document_id) for document_id in document_ids)
        return {key.document_id: self._told(self._heads[key]) for key in keys if key in self._heads}

    async def list(
        self, tenant_id: str, *, after: str = "", prefix: str = "", limit: int = 100, include_deleted: bool = False
    ) -> Sequence[Head]:
        """Heads in order of document ids; see the port."""
        wanted = [
            self._told(head)
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

    async def set_hold(self, hold: Hold) -> PutOutcome:
        """Writes the hold unless a newer one is there; see the port."""
        known = self._holds.get(hold.key)
        if known is not None and known.version >= hold.version and known != hold:
            return PutOutcome.SUPERSEDED
        self._holds[hold.key] = hold
        return PutOutcome.APPLIED

    async def hold(self, key: DocumentKey) -> Hold | None:
        """The hold or None; see the port."""
        return self._holds.get(key)

    async def holds(
        self, tenant_id: str, *, after: str = "", limit: int = 100, include_released: bool = False
    ) -> Sequence[Hold]:
        """Holds in order of document ids; see the port."""
        wanted = [
            hold
            for key, hold in self._holds.items()
            if key.tenant_id == tenant_id and key.document_id > after and (hold.held or include_released)
        ]
        return sorted(wanted, key=lambda hold: hold.key)[: max(limit, 0)]

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's heads and holds."""
        self._heads = {key: head for key, head in self._heads.items() if key.tenant_id != tenant_id}
        self._holds = {key: hold for key, hold in self._holds.items() if key.tenant_id != tenant_id}

    def _told(self, head: Head) -> Head:
        hold = self._holds.get(head.key)
        return replace(head, held=True) if hold is not None and hold.held else head
