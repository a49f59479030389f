"""Documents that somebody has to look at.

Nouns
    **Item**: one version of one document, and one reason to look at it. *Open* until a reviewer decides. It holds no
    text of the document. The rules of ``corpus.ports`` hold for every method here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from corpus.domain import DocumentKey
from corpus.ids import length_prefixed


class ReviewReason(StrEnum):
    """Why a document is to be looked at."""

    EMPTY = "empty"
    """Nothing, or next to nothing, was found in it."""
    UNREADABLE = "unreadable"
    """What was found is hardly text."""
    STALE = "stale"
    """It says of itself that it is older than documents of its type may be."""


class ReviewState(StrEnum):
    """What was decided about an item."""

    OPEN = "open"
    APPROVED = "approved"
    EDITED = "edited"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """Something to look at.

    Attributes:
        review_id: Of document, version and reason, so that raising it again is raising the same.
        key, version: What is to be looked at.
        reason: Why.
        detail: A figure, never text of the document.
        held: Whether the document was held for it.
        raised_by: "rule:" and the rule.
        decided_by, decided_at, note: Who decided, when, and why; empty and None while it is open.
    """

    review_id: str
    key: DocumentKey
    version: int
    reason: ReviewReason
    detail: str
    held: bool
    raised_by: str
    raised_at: datetime
    state: ReviewState = ReviewState.OPEN
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""


def review_id_of(key: DocumentKey, version: int, reason: ReviewReason) -> str:
    """Names an item."""
    said = ("headwater.review.v1", key.tenant_id, key.document_id, str(version), reason.value)
    return hashlib.sha256(length_prefixed(said)).hexdigest()[:32]


class ReviewQueue(Protocol):
    """Items by id, each exactly once."""

    async def get(self, tenant_id: str, review_id: str) -> ReviewItem | None:
        """The tenant's item as of now, or None."""
        ...

    async def put(self, item: ReviewItem, *, expected: ReviewItem | None) -> bool:
        """Writes the item if the one that is there now equals ``expected`` (None: there is none), and says whether it
        did; otherwise changes nothing. Atomic. Repeating a call that has written says False."""
        ...

    async def list(
        self,
        tenant_id: str,
        state: ReviewState | None = None,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> Sequence[ReviewItem]:
        """Items of the state (None: of all), the one raised last first, equal ones by id: those that follow ``after``
        (time and id of the last one of a page), at most ``limit``."""
        ...

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's items. Idempotent."""
        ...
