"""Use cases of reviewers: what waits, and what is decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from chassis.clock import Clock
from chassis.errors import Conflict, FailedPrecondition, InvalidRequest, NotFound
from chassis.identity import Caller
from chassis.telemetry.metrics import INGEST_REVIEW_DECISIONS
from corpus.domain import Head, HeadState
from corpus.reviews import ReviewItem, ReviewQueue, ReviewState
from ingest.reviews.holds import HoldDocuments, may_know, require_reviewer

MAX_PAGE = 1000
MAX_NOTE_CHARACTERS = 300
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item with the document as it is now."""

    item: ReviewItem
    head: Head | None


@dataclass(frozen=True, slots=True)
class DecideReviews:
    """Each needs the scope review or admin, and shows only documents that the caller may know of.

    The hold is changed before the item is: a call that was cut off leaves an item that is open, and is repeated."""

    queue: ReviewQueue
    holds: HoldDocuments
    clock: Clock

    async def list(
        self, caller: Caller, state: ReviewState | None, after: tuple[datetime, str] | None, page_size: int
    ) -> tuple[Sequence[Waiting], ReviewItem | None]:
        """One page, what was raised last first, and the item to go on after (None at the end)."""
        require_reviewer(caller)
        tenant_id = await self.holds.tenant_id(caller)
        limit = min(page_size or 100, MAX_PAGE)
        known: list[Waiting] = []
        # Neither the token nor the length of a page may tell of items that the caller may not know of.
        while page := await self.queue.list(tenant_id, state, after=after, limit=MAX_PAGE):
            heads = await self.holds.heads.get_many(tenant_id, {item.key.document_id for item in page})
            waiting = [Waiting(item, heads.get(item.key.document_id)) for item in page]
            known += [each for each in waiting if may_know(caller, each.head, self.clock.now())]
            if len(known) > limit:
                return known[:limit], known[limit - 1].item
            after = (page[-1].raised_at, page[-1].review_id)
        return known, None

    async def decide(self, caller: Caller, review_id: str, decision: ReviewState, note: str = "") -> ReviewItem:
        """Closes the item. APPROVED: the version is good, and a rule's hold ends. EDITED: a newer version takes its
        place, and the hold ends as well. REJECTED: the document is on hold until somebody releases or deletes it.
        Repeating a decision changes nothing.

        Raises NotFound UNKNOWN_REVIEW, Conflict ALREADY_DECIDED, FailedPrecondition (DOCUMENT_CHANGED, NOT_EDITED),
        InvalidRequest (DECISION_MISSING, REASON_TOO_LONG), PermissionDenied, DependencyUnavailable.
        """
        require_reviewer(caller)
        if decision is ReviewState.OPEN:
            raise InvalidRequest("Say approved, edited or rejected.", reason="DECISION_MISSING")
        if len(note) > MAX_NOTE_CHARACTERS:
            raise InvalidRequest(f"A note has at most {MAX_NOTE_CHARACTERS} characters.", reason="REASON_TOO_LONG")
        item, head = await self._item(caller, review_id)
        if item.state is decision:
            return item
        if item.state is not ReviewState.OPEN:
            raise _decided(item)
        _check_version(item, head, decision)
        if decision is ReviewState.REJECTED:
            await self.holds.impose(item.key, caller.subject, note or item.reason.value)
        elif not await self._others_hold(item):
            hold = await self.holds.heads.hold(item.key)
            if hold is not None and hold.by.startswith("rule:"):
                await self.holds.lift(item.key, caller.subject)
        closed = replace(item, state=decision, decided_by=caller.subject, decided_at=self.clock.now(), note=note)
        if not await self.queue.put(closed, expected=item):
            now = await self.queue.get(item.key.tenant_id, review_id)
            if now is None or now.state is not decision:
                raise _decided(now or item)
            return now
        INGEST_REVIEW_DECISIONS.add(reason=item.reason.value, decision=decision.value)
        _log.info("review_decided", review_id=review_id, decision=decision.value)
        return closed

    async def _item(self, caller: Caller, review_id: str) -> tuple[ReviewItem, Head | None]:
        item = await self.queue.get(await self.holds.tenant_id(caller), review_id)
        head = await self.holds.heads.get(item.key) if item is not None else None
        if item is None or not may_know(caller, head, self.clock.now()):
            raise NotFound("There is no such review that you may see.", reason="UNKNOWN_REVIEW")
        return item, head

    async def _others_hold(self, item: ReviewItem) -> bool:
        """Whether another item holds the document that nobody has decided on."""
        after: tuple[datetime, str] | None = None
        while page := await self.queue.list(item.key.tenant_id, ReviewState.OPEN, after=after, limit=MAX_PAGE):
            if any(each.held and each.key == item.key and each.review_id != item.review_id for each in page):
                return True
            after = (page[-1].raised_at, page[-1].review_id)
        return False


def _check_version(item: ReviewItem, head: Head | None, decision: ReviewState) -> None:
    served = head.chunks_version if head is not None and head.state is HeadState.LIVE else 0
    if decision is ReviewState.APPROVED and served != item.version:
        raise FailedPrecondition(
            "The document has other content by now, so nobody can approve this one: decide 'edited', or look at the new"
            " version.",
            reason="DOCUMENT_CHANGED",
            metadata={"version": str(served)},
        )
    if decision is ReviewState.EDITED and served <= item.version:
        raise FailedPrecondition(
            "There is no newer content: put the mended document, wait until it is applied, then decide 'edited'.",
            reason="NOT_EDITED",
        )


def _decided(item: ReviewItem) -> Conflict:
    return Conflict(f"It was decided before: {item.state.value}.", reason="ALREADY_DECIDED")
