"""Forgets what nobody asks for any more: changes that ended long ago, letters that were decided on, files that have not
been seen for long. A pass does a bounded amount of work, a little at a time, and the next one goes on where it
stopped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from chassis.clock import Clock
from chassis.objectstore.port import ObjectStore
from corpus.dead_letters import DeadLetterStore, Halts, KnownBadContent
from corpus.ports import ChangeLedger, Tenants

PAGE: Final = 500
PAGES_PER_PASS: Final = 200
PAUSE_SECONDS: Final = 0.02
"""Between two pages, for those who wait for the same store."""
HALT_SEEN_SECONDS: Final = 60.0
"""A halted worker says so every few seconds; one that was not heard of for so long has died."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a pass removed."""

    changes: int
    letters: int
    known_bad: int


@dataclass(slots=True)
class AgeOut:
    """Use case of the worker's background. Open letters and their changes stay, however old they are."""

    tenants: Tenants
    ledger: ChangeLedger
    letters: DeadLetterStore
    known_bad: KnownBadContent
    halts: Halts
    objects: ObjectStore
    clock: Clock
    retention: timedelta
    page: int = PAGE
    pages: int = PAGES_PER_PASS
    pause_seconds: float = PAUSE_SECONDS
    _after: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    async def run(self) -> Forgotten:
        """One pass. Idempotent, and may stop at any point. Raises DependencyUnavailable."""
        now = self.clock.now()
        changes = await self._age_changes(now - self.retention)
        letters = 0
        for letter in await self.letters.decided_before(now - self.retention, self.page):
            await self.objects.delete(letter.event_key)
            await self.letters.delete(letter.letter_id)
            letters += 1
        known_bad = await self.known_bad.forget_before(now - self.retention, self.page)
        for halt in await self.halts.list():
            if halt.seen_at < now - timedelta(seconds=HALT_SEEN_SECONDS):
                await self.halts.clear(halt.worker)
        return Forgotten(changes, letters, known_bad)

    async def _age_changes(self, before: datetime) -> int:
        removed, pages = 0, self.pages
        for tenant in await self.tenants.list():
            while pages > 0:
                pages -= 1
                after = self._after.pop(tenant.tenant_id, None)
                aged = await self.ledger.age_out(tenant.tenant_id, before, after=after, limit=self.page)
                removed += aged.removed
                if aged.after is None:
                    break
                self._after[tenant.tenant_id] = aged.after
                await asyncio.sleep(self.pause_seconds)
        return removed
