"""The change ledger in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from corpus.adapters.rules import discarded, earlier_record, may_age_out, reopened, require_terminal
from corpus.domain import ChangeRecord, ChangeState, DocumentKey
from corpus.ports import Aged


class MemoryChangeLedger:
    """What became of every accepted event, within one process."""

    def __init__(self) -> None:
        self._records: dict[str, ChangeRecord] = {}
        self._events: dict[tuple[DocumentKey, int], str] = {}

    async def accept(self, record: ChangeRecord) -> ChangeRecord:
        """Records a pending change; see the port."""
        event_id = (
            record.event_id if record.event_id in self._records else self._events.get((record.key, record.version))
        )
        if event_id is not None:
            return earlier_record(self._records[event_id], record)
        self._records[record.event_id] = record
        self._events[record.key, record.version] = record.event_id
        return record

    async def finish(
        self, event_id: str, state: ChangeState, *, at: datetime, reason: str = "", message: str = "", attempts: int = 0
    ) -> None:
        """Sets a terminal state unless one is set; see the port."""
        require_terminal(state)
        known = self._records.get(event_id)
        if known is not None and known.state is ChangeState.PENDING:
            self._records[event_id] = replace(
                known,
                state=state,
                finished_at=at,
                reason=reason,
                message=message,
                attempts=max(known.attempts, attempts),
            )

    async def note_failure(self, event_id: str, *, reason: str, message: str, attempts: int) -> None:
        """Notes why a change is still pending; see the port."""
        known = self._records.get(event_id)
        if known is not None and known.state is ChangeState.PENDING:
            self._records[event_id] = replace(known, reason=reason, message=message, attempts=attempts)

    async def reopen(self, event_id: str, *, replay: int) -> ChangeRecord | None:
        """Makes a dead-lettered change pending again; see the port."""
        known = self._records.get(event_id)
        if known is not None:
            known = self._records[event_id] = reopened(known, replay)
        return known

    async def discard(self, event_id: str, *, at: datetime, message: str) -> ChangeRecord | None:
        """Gives a dead-lettered change up; see the port."""
        known = self._records.get(event_id)
        if known is not None:
            known = self._records[event_id] = discarded(known, at, message)
        return known

    async def get_many(self, tenant_id: str, event_ids: Collection[str]) -> Mapping[str, ChangeRecord]:
        """Records by event id; unknown ids are left out."""
        found = (self._records.get(event_id) for event_id in event_ids)
        return {r.event_id: r for r in found if r is not None and r.key.tenant_id == tenant_id}

    async def find(self, key: DocumentKey, version: int) -> ChangeRecord | None:
        """The change with this version."""
        event_id = self._events.get((key, version))
        return None if event_id is None else self._records[event_id]

    async def newest(self, key: DocumentKey, limit: int = 20) -> Sequence[ChangeRecord]:
        """The document's changes, greatest version first."""
        mine = [record for record in self._of_tenant(key.tenant_id) if record.key == key]
        return sorted(mine, key=lambda record: -record.version)[: max(limit, 0)]

    async def latest_versions(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, int]:
        """Greatest accepted version by document id; see the port."""
        wanted = set(document_ids)
        latest: dict[str, int] = {}
        for record in self._of_tenant(tenant_id):
            document_id = record.key.document_id
            if document_id in wanted:
                latest[document_id] = max(record.version, latest.get(document_id, 0))
        return latest

    async def oldest_pending(
        self, tenant_id: str, limit: int, *, after: tuple[datetime, str] | None = None
    ) -> Sequence[ChangeRecord]:
        """Pending changes in the order of their acceptance."""
        pending = [record for record in self._of_tenant(tenant_id) if record.state is ChangeState.PENDING]
        placed = sorted(((record.accepted_at, record.event_id), record) for record in pending)
        return [record for place, record in placed if after is None or place > after][: max(limit, 0)]

    async def newest_dead_letters(self, tenant_id: str, limit: int) -> Sequence[ChangeRecord]:
        """Dead-lettered changes, those that ended last first."""
        dead = [(r.finished_at, r) for r in self._of_tenant(tenant_id) if r.state is ChangeState.DEAD_LETTERED]
        dated = [(at, record) for at, record in dead if at is not None]
        by_id = sorted(dated, key=lambda pair: pair[1].event_id)
        return [record for _, record in sorted(by_id, key=lambda pair: pair[0], reverse=True)][: max(limit, 0)]

    async def counts(self, tenant_id: str) -> Mapping[ChangeState, int]:
        """Changes by state; see the port."""
        return dict(Counter(record.state for record in self._of_tenant(tenant_id)))

    async def age_out(
        self,
        tenant_id: str,
        finished_before: datetime,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 500,
    ) -> Aged:
        """Removes changes that ended long ago; see the port."""
        newest: dict[DocumentKey, int] = {}
        for record in self._of_tenant(tenant_id):
            newest[record.key] = max(record.version, newest.get(record.key, 0))
        old = [record for record in self._of_tenant(tenant_id) if may_age_out(record, finished_before)]
        placed = sorted((record.finished_at or finished_before, record.event_id) for record in old)
        page = [place for place in placed if after is None or place > after][:limit]
        removed = 0
        for _, event_id in page:
            record = self._records[event_id]
            if record.version < newest[record.key]:
                removed += 1
                del self._records[event_id]
                del self._events[record.key, record.version]
        return Aged(removed, page[-1] if len(page) == limit else None)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's rows."""
        for record in self._of_tenant(tenant_id):
            del self._records[record.event_id]
            del self._events[record.key, record.version]

    def _of_tenant(self, tenant_id: str) -> list[ChangeRecord]:
        return [record for record in self._records.values() if record.key.tenant_id == tenant_id]
