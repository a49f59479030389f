"""Items of the review queue as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chassis.clock import from_micros, to_micros
from corpus.domain import DocumentKey
from corpus.reviews import ReviewItem, ReviewReason, ReviewState


def item_to_json(item: ReviewItem) -> dict[str, Any]:
    """Inverse of ``item_from_json``."""
    return {
        "review_id": item.review_id,
        "tenant_id": item.key.tenant_id,
        "document_id": item.key.document_id,
        "version": item.version,
        "reason": item.reason.value,
        "detail": item.detail,
        "held": item.held,
        "raised_by": item.raised_by,
        "raised_at": to_micros(item.raised_at),
        "state": item.state.value,
        "decided_by": item.decided_by,
        "decided_at": None if item.decided_at is None else to_micros(item.decided_at),
        "note": item.note,
    }


def item_from_json(row: Mapping[str, Any]) -> ReviewItem:
    """An item from what an adapter keeps."""
    return ReviewItem(
        row["review_id"],
        DocumentKey(row["tenant_id"], row["document_id"]),
        row["version"],
        ReviewReason(row["reason"]),
        row["detail"],
        row["held"],
        row["raised_by"],
        from_micros(row["raised_at"]),
        ReviewState(row["state"]),
        row["decided_by"],
        None if row["decided_at"] is None else from_micros(row["decided_at"]),
        row["note"],
    )


def follows(item: ReviewItem, after: tuple[datetime, str] | None) -> bool:
    """Whether the item comes after the last one of a page."""
    return after is None or item.raised_at < after[0] or (item.raised_at == after[0] and item.review_id > after[1])
