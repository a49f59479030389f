"""Documents whose time is over become tombstones, and tombstones that nothing can come after are forgotten.

Readers are told at once that a document has expired: the head check compares its expiry with the clock. What happens
here gives room back, and makes "expired" a version like any other.

*Expired.* The document is deleted at the next number after its head's version, like any change: through the log, in the
order of versions. Whoever prolongs it at the same time has a greater version and wins, or the same version, and then
one of the two is refused, or has a change waiting, and then nothing is done before it is applied.

*Aged.* A tombstone refuses late updates, so it must outlive every one that may still come: the log's retention, the
dead letters that may be replayed, and the sources that may say it again. The first two are checked here; the
retention is for the last. What comes later still is a new document, and there is no way to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from chassis.clock import Clock
from chassis.errors import Conflict, Disposition, HeadwaterError, disposition_of
from corpus.dead_letters import DeadLetterStore, LetterFilter, LetterState
from corpus.domain import Announcement, CalledOff, ChangeState, DocumentKey, Head, HeadState
from corpus.ports import ChangeLedger, Heads, Tenants
from ingest.accept import AcceptChanges
from ingest.domain import Delete
from ingest.ports import HeadFeed

_log = structlog.get_logger()

PAGE = 500
_NEWEST = 50
MOST_FAILURES = 10
"""In a row, because something is down: the rest of the pass would fare no better."""


@dataclass(frozen=True, slots=True)
class Expired:
    """What a pass did."""

    deleted: int = 0
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class ExpireDocuments:
    """Use case of the worker's sweeper. Idempotent, and may stop at any point. Several may run side by side."""

    tenants: Tenants
    heads: Heads
    ledger: ChangeLedger
    letters: DeadLetterStore
    accept: AcceptChanges
    feed: HeadFeed
    clock: Clock
    tombstone_seconds: float

    async def expire(self) -> Expired:
        """One pass over all tenants. A document that can't be deleted or forgotten is passed over. Raises
        DependencyUnavailable, Overloaded or DeadlineExceeded when many can't, or a store can't be read."""
        deleted = forgotten = failures = 0
        for tenant in await self.tenants.list():
            after = ""
            while page := await self.heads.list(tenant.tenant_id, after=after, limit=PAGE, include_deleted=True):
                for head in page:
                    try:
                        if self._is_over(head):
                            deleted += await self._delete(head)
                        elif self._is_aged(head):
                            forgotten += await self._forget(head)
                        else:
                            continue
                        failures = 0
                    except HeadwaterError as error:
                        _log.warning("not_expired", reason=error.reason, version=head.version)
                        failures += disposition_of(error) is Disposition.BACK_OFF
                        if failures >= MOST_FAILURES:
                            raise
                after = page[-1].key.document_id
        return Expired(deleted, forgotten)

    def _is_over(self, head: Head) -> bool:
        return head.state is HeadState.LIVE and head.expires_at is not None and head.expires_at <= self.clock.now()

    def _is_aged(self, head: Head) -> bool:
        oldest = self.clock.now() - timedelta(seconds=self.tombstone_seconds)
        return head.state is HeadState.DELETED and head.updated_at <= oldest

    async def _delete(self, head: Head) -> bool:
        if await self._something_may_come(head.key, (ChangeState.PENDING,)):
            return False
        try:
            await self.accept.at_version(head.key, head.version + 1, Delete())
        except Conflict:
            return False
        return True

    async def _forget(self, head: Head) -> bool:
        if await self._something_may_come(head.key, (ChangeState.PENDING, ChangeState.DEAD_LETTERED)):
            return False
        for state in (LetterState.OPEN, LetterState.REPLAYING):
            which = LetterFilter(head.key.tenant_id, document_prefix=head.key.document_id, state=state)
            letters = await self.letters.list(which, limit=PAGE)
            if len(letters) == PAGE or any(each.document_id == head.key.document_id for each in letters):
                return False
        # Whoever knows the tombstone takes no smaller version for newer: a process that dies after the purge leaves him
        # in doubt, not in the belief that a document which came since is still deleted.
        announced = Announcement(head.key, f"{head.event_id}/aged", head.version + 1)
        await self.feed.announce(announced)
        await self.heads.purge(head.key, head.version)
        if await self.heads.get(head.key) is None:
            await self.feed.forget(head.key)
        else:
            await self.feed.call_off(CalledOff(head.key, announced.announcement_id))
        return True

    async def _something_may_come(self, key: DocumentKey, states: Sequence[ChangeState]) -> bool:
        return any(record.state in states for record in await self.ledger.newest(key, limit=_NEWEST))
