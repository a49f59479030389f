"""The review queue in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from corpus.adapters.review_rows import follows
from corpus.reviews import ReviewItem, ReviewState


class MemoryReviewQueue:
    """Items within one process."""

    def __init__(self) -> None:
        self._items: dict[str, ReviewItem] = {}

    async def get(self, tenant_id: str, review_id: str) -> ReviewItem | None:
        """The item or None."""
        item = self._items.get(review_id)
        return item if item is not None and item.key.tenant_id == tenant_id else None

    async def put(self, item: ReviewItem, *, expected: ReviewItem | None) -> bool:
        """Compares and sets; see the port."""
        if self._items.get(item.review_id) != expected or item == expected:
            return False
        self._items[item.review_id] = item
        return True

    async def list(
        self,
        tenant_id: str,
        state: ReviewState | None = None,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> Sequence[ReviewItem]:
        """A page of items; see the port."""
        items = sorted(self._items.values(), key=lambda item: item.review_id)
        items.sort(key=lambda item: item.raised_at, reverse=True)
        fit = [item for item in items if item.key.tenant_id == tenant_id and (state is None or item.state is state)]
        return [item for item in fit if follows(item, after)][: max(limit, 0)]

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's items."""
        self._items = {i: item for i, item in self._items.items() if item.key.tenant_id != tenant_id}
