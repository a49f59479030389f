"""What the worker does about findings, before the head of the version is written: a document that is to be held is
never served in between, and a worker that dies there raises the same once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.clock import Clock
from chassis.telemetry.metrics import INGEST_REVIEWS
from corpus.domain import DocumentKey
from corpus.reviews import ReviewItem, ReviewQueue, review_id_of
from ingest.reviews.holds import HoldDocuments
from ingest.reviews.quality import Finding, ReviewAction, ReviewPolicy


@dataclass(frozen=True, slots=True)
class RaiseReviews:
    """Use case of the worker. Idempotent."""

    queue: ReviewQueue
    holds: HoldDocuments
    policy: ReviewPolicy
    clock: Clock

    async def raise_all(self, key: DocumentKey, version: int, findings: Sequence[Finding]) -> None:
        """Puts findings into the queue, and the document on hold where the policy says so. Raises
        DependencyUnavailable, Overloaded, DeadlineExceeded."""
        for finding in findings:
            by = f"rule:{finding.reason.value}"
            review_id = review_id_of(key, version, finding.reason)
            if await self.queue.get(key.tenant_id, review_id) is not None:
                continue  # raised before, and perhaps decided: a redelivered change holds nothing again
            held = self.policy.action(finding.reason) is ReviewAction.HOLD
            if held:
                await self.holds.impose(key, by, finding.reason.value)
            item = ReviewItem(review_id, key, version, finding.reason, finding.detail, held, by, self.clock.now())
            if await self.queue.put(item, expected=None):
                INGEST_REVIEWS.add(reason=finding.reason.value, action="hold" if held else "flag")
