"""Changes that are in no terminal state: since when, and what each waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from chassis.clock import Clock
from chassis.identity import Caller, Scope
from corpus.dead_letters import OF_SOURCES, DeadLetterStore, Halt, Halts, LetterFilter, LetterState
from corpus.domain import TRIED_AGAIN, ChangeRecord
from corpus.ports import ChangeLedger, Tenants
from ingest.ageing import HALT_SEEN_SECONDS
from ingest.known_bad import INGEST_HALTED

MAX_PAGE = 1000


class OpenCause(StrEnum):
    """What an open change waits for."""

    WAITING = "waiting"
    """Its turn: no worker has tried it yet."""
    RETRYING = "retrying"
    """Something that was down at its last attempt."""
    HALTED = "halted"
    """Workers that take no changes."""
    REPLAYED = "replayed"
    """Its turn, after an operator had it tried again."""


@dataclass(frozen=True, slots=True)
class OpenChange:
    """A change that is still open."""

    record: ChangeRecord
    cause: OpenCause
    age_seconds: float


@dataclass(frozen=True, slots=True)
class LookAtOpenChanges:
    """Use case of the API role."""

    ledger: ChangeLedger
    halts: Halts
    letters: DeadLetterStore
    clock: Clock
    tenants: Tenants

    async def list(
        self, caller: Caller, after: tuple[datetime, str] | None = None, page_size: int = 0
    ) -> Sequence[OpenChange]:
        """One page of the tenant's open changes, oldest first."""
        caller.require(Scope.WRITE)
        limit = min(page_size or 100, MAX_PAGE)
        tenant_id = await self.tenants.latest_id(caller.tenant_id)
        return await self.describe(await self.ledger.oldest_pending(tenant_id, limit, after=after))

    async def describe(self, records: Sequence[ChangeRecord]) -> Sequence[OpenChange]:
        """These open changes with their ages and causes."""
        if not records:
            return ()
        now = self.clock.now()
        halted = any(not halt.worker.endswith(OF_SOURCES) for halt in await self.halted())
        return [
            OpenChange(record, _cause(record, halted), max((now - record.accepted_at).total_seconds(), 0.0))
            for record in records
        ]

    async def halted(self) -> Sequence[Halt]:
        """Workers that are halted and alive."""
        oldest = self.clock.now() - timedelta(seconds=HALT_SEEN_SECONDS)
        return [halt for halt in await self.halts.list() if halt.seen_at >= oldest]

    async def open_letters(self, caller: Caller) -> int:
        """Dead letters of all tenants that nobody has decided on; 0 for callers that may not know."""
        if Scope.ADMIN not in caller.scopes:
            return 0
        return await self.letters.count(LetterFilter(state=LetterState.OPEN))


def _cause(record: ChangeRecord, halted: bool) -> OpenCause:
    if record.reason == INGEST_HALTED:
        return OpenCause.HALTED
    if record.message.startswith(TRIED_AGAIN):
        return OpenCause.REPLAYED
    if record.reason:
        return OpenCause.RETRYING
    return OpenCause.HALTED if halted else OpenCause.WAITING
