"""The change ledger in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from corpus.adapters.rules import earlier_record, require_terminal
from corpus.domain import ChangeRecord, ChangeState, DocumentKey


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

    async def oldest_pending(self, tenant_id: str, limit: int) -> Sequence[ChangeRecord]:
        """Pending changes in the order of their acceptance."""
        pending = [record for record in self._of_tenant(tenant_id) if record.state is ChangeState.PENDING]
        return sorted(pending, key=lambda record: (record.accepted_at, record.event_id))[: max(limit, 0)]

    async def newest_dead_letters(self, tenant_id: str, limit: int) -> Sequence[ChangeRecord]:
        """Dead-lettered changes, those that ended last first."""
        dead = [(r.finished_at, r) for r in self._of_tenant(tenant_id) if r.state is ChangeState.DEAD_LETTERED]
        dated = [(at, record) for at, record in dead if at is not None]
        by_id = sorted(dated, key=lambda pair: pair[1].event_id)
        return [record for _, record in sorted(by_id, key=lambda pair: pair[0], reverse=True)][: max(limit, 0)]

    async def counts(self, tenant_id: str) -> Mapping[ChangeState, int]:
        """Changes by state; see the port."""
        return dict(Counter(record.state for record in self._of_tenant(tenant_id)))

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's rows."""
        for record in self._of_tenant(tenant_id):
            del self._records[record.event_id]
            del self._events[record.key, record.version]

    def _of_tenant(self, tenant_id: str) -> list[ChangeRecord]:
        return [record for record in self._records.values() if record.key.tenant_id == tenant_id]
