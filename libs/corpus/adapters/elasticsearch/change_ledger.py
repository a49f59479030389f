"""The change ledger in Elasticsearch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from chassis.elasticsearch.bulk import Write, Written, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import MAX_HITS, Found, get, get_many, search_now
from chassis.errors import Conflict, DependencyUnavailable
from corpus.adapters.elasticsearch.change_ledger_rows import (
    ALIAS,
    KEPT_VERSIONS,
    SPEC,
    Recent,
    change_id,
    change_row,
    event_row,
    event_row_id,
    newest_id,
    newest_row,
    record_of,
    versions_of,
    with_version,
)
from corpus.adapters.rules import earlier_record, require_terminal
from corpus.domain import ChangeRecord, ChangeState, DocumentKey

SPECS: Final = (SPEC,)
T = TypeVar("T")

_ATTEMPTS: Final = 50
"""Of one compare-and-set. Each time somebody else's succeeded: many only where many write to one document at once."""
_PAUSE_SECONDS: Final = 0.02
"""Longest pause between two of them."""
_REMEMBERED: Final = 4096
_DROPPED_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class _Newest:
    """A document's greatest versions, and what tells whether they are still those."""

    versions: tuple[int, ...]
    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class _Known:
    """A change as it was when it was read or written."""

    record: ChangeRecord
    seq_no: int
    primary_term: int


class ElasticsearchChangeLedger:
    """What became of every accepted event, for all processes.

    Everything is visible at once: by id in real time, and what searches (counts, the oldest pending, the newest dead
    letters) refreshes the index before.

    Accepting writes three documents in one request (see ``change_ledger_rows``). A crash may leave any of them
    unwritten; the outcome is unknown then, and accepting the same change again writes what is missing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(ALIAS)
        self._newest: Recent[DocumentKey, _Newest] = Recent(_REMEMBERED)
        self._accepted: Recent[str, _Known] = Recent(_REMEMBERED)

    async def accept(self, record: ChangeRecord) -> ChangeRecord:
        """Records a pending change; see the port. One request when the change is new, one more when it is not."""
        newest = self._newest.get(record.key)
        if newest is not None and record.version in newest.versions:
            settled = await self._settle(record)
            if settled is not None:
                return settled

        async def attempt() -> ChangeRecord | None:
            return record if await self._create(record) else await self._settle(record)

        return await _until_settled(attempt)

    async def _create(self, record: ChangeRecord) -> bool:
        """Creates what is not there yet of a change; whether all of it was created."""
        newest = self._newest.get(record.key)
        writes = [
            self._write(change_id(record.key, record.version), change_row(record), create=True),
            self._write(event_row_id(record.event_id), event_row(record), create=True),
        ]
        versions = with_version(newest.versions if newest else (), record.version)
        if newest is None or versions != newest.versions:
            writes.append(self._newest_write(record.key, versions, newest))
        change, _, *renewed = results = await bulk(self._store, writes)
        if renewed:
            self._remember_newest(record.key, versions, renewed[0])
        if not change.conflict:
            self._remember(record, change)
        return not any(result.conflict for result in results)

    async def _settle(self, record: ChangeRecord) -> ChangeRecord | None:
        """What an accept ends with when something of the change is there already; None when it has to be written again.
        Raises Conflict."""
        ids = [change_id(record.key, record.version), event_row_id(record.event_id), newest_id(record.key)]
        change, event, newest = await get_many(self._store, self._alias, ids)
        known = record_of(change.source) if change else None
        if event is not None and event.source["change"]["id"] != ids[0]:
            if change is not None and known is not None and known.event_id == record.event_id:
                # Written a moment ago, by this call or by one that did not come to its end: nobody's change.
                self._accepted.pop(record.event_id)
                await bulk(self._store, [self._write(ids[0], None, change)])
            raise Conflict("The event id belongs to another change; use a new one.", reason="EVENT_ID_CONFLICT")
        if change is None or known is None:
            return None
        if known.event_id != record.event_id:
            if event is not None:
                # This event came second. Repeated calls with ever new ids must not leave a row each.
                await bulk(self._store, [self._write(ids[1], None, event)])
        elif event is None:
            return None
        else:
            self._accepted.set(known.event_id, _Known(known, change.seq_no, change.primary_term))
        await self._add_version(record.key, record.version, newest)
        return earlier_record(known, record)

    async def _add_version(self, key: DocumentKey, version: int, found: Found | None) -> None:
        current: list[Found | None] = [found]

        async def attempt() -> bool | None:
            newest = self._newest_of(key, current.pop() if current else await self._get(newest_id(key)))
            versions = with_version(newest.versions if newest else (), version)
            if newest is not None and versions == newest.versions:
                return True
            [written] = await bulk(self._store, [self._newest_write(key, versions, newest)])
            self._remember_newest(key, versions, written)
            return None if written.conflict else True

        await _until_settled(attempt)

    async def finish(
        self, event_id: str, state: ChangeState, *, at: datetime, reason: str = "", message: str = "", attempts: int = 0
    ) -> None:
        """Sets a terminal state unless one is set; see the port."""
        require_terminal(state)
        await self._change(
            event_id,
            lambda known: replace(
                known,
                state=state,
                finished_at=at,
                reason=reason,
                message=message,
                attempts=max(known.attempts, attempts),
            ),
        )

    async def note_failure(self, event_id: str, *, reason: str, message: str, attempts: int) -> None:
        """Notes why a change is still pending; see the port."""
        await self._change(event_id, lambda known: replace(known, reason=reason, message=message, attempts=attempts))

    async def _change(self, event_id: str, changed: Callable[[ChangeRecord], ChangeRecord]) -> None:
        async def attempt() -> bool | None:
            known = self._accepted.pop(event_id) or await self._find(event_id)
            if known is None or known.record.state is not ChangeState.PENDING:
                return True
            record = changed(known.record)
            row_id = change_id(record.key, record.version)
            [written] = await bulk(
                self._store,
                [
                    Write(
                        self._alias,
                        row_id,
                        change_row(record),
                        seq_no=known.seq_no,
                        primary_term=known.primary_term,
                    )
                ],
            )
            return None if written.conflict else True

        await _until_settled(attempt)

    async def _find(self, event_id: str) -> _Known | None:
        event = await self._get(event_row_id(event_id))
        change = await self._get(event.source["change"]["id"]) if event else None
        if change is None:
            return None
        record = record_of(change.source)
        # An event that came second names a change that is another one's.
        return _Known(record, change.seq_no, change.primary_term) if record.event_id == event_id else None

    async def get_many(self, tenant_id: str, event_ids: Collection[str]) -> Mapping[str, ChangeRecord]:
        """Records by event id; unknown ids are left out."""
        wanted = list(dict.fromkeys(event_ids))
        events = await get_many(self._store, self._alias, [event_row_id(event_id) for event_id in wanted])
        named = {
            event_id: str(event.source["change"]["id"]) for event_id, event in zip(wanted, events, strict=True) if event
        }
        changes = await get_many(self._store, self._alias, list(named.values()))
        records = {
            event_id: record_of(change.source) for event_id, change in zip(named, changes, strict=True) if change
        }
        return {
            event_id: record
            for event_id, record in records.items()
            if record.event_id == event_id and record.key.tenant_id == tenant_id
        }

    async def find(self, key: DocumentKey, version: int) -> ChangeRecord | None:
        """The change with this version; see the port. One request."""
        change = await self._get(change_id(key, version))
        return record_of(change.source) if change else None

    async def newest(self, key: DocumentKey, limit: int = 20) -> Sequence[ChangeRecord]:
        """The document's changes, greatest version first. By id up to KEPT_VERSIONS of them, a search beyond."""
        newest = self._newest_of(key, await self._get(newest_id(key)))
        versions = newest.versions if newest else ()
        if len(versions) < KEPT_VERSIONS or limit <= KEPT_VERSIONS:
            wanted = versions[: max(limit, 0)]
            changes = await get_many(self._store, self._alias, [change_id(key, version) for version in wanted])
            if None not in changes:
                return [record_of(change.source) for change in changes if change]
        # There are more than are kept, or an accept that failed half-way left a version without a change.
        of_document = [{"term": {"tenant_id": key.tenant_id}}, {"term": {"document_id": key.document_id}}]
        return await self._search(of_document, [{"version": "desc"}], limit)

    async def latest_versions(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, int]:
        """Greatest accepted version by document id; see the port."""
        keys = [DocumentKey(tenant_id, document_id) for document_id in dict.fromkeys(document_ids)]
        rows = await get_many(self._store, self._alias, [newest_id(key) for key in keys])
        latest = {key: versions_of(row.source)[0] for key, row in zip(keys, rows, strict=True) if row}
        changes = await get_many(
            self._store, self._alias, [change_id(key, version) for key, version in latest.items()], source=False
        )
        found: dict[str, int] = {}
        for (key, version), change in zip(latest.items(), changes, strict=True):
            records = [] if change else await self.newest(key, 1)
            if change or records:
                found[key.document_id] = version if change else records[0].version
        return found

    async def oldest_pending(self, tenant_id: str, limit: int) -> Sequence[ChangeRecord]:
        """Pending changes in the order of their acceptance; at most 10,000."""
        sort = [{"accepted_at": "asc"}, {"event_id": "asc"}]
        return await self._search(_in_state(tenant_id, ChangeState.PENDING), sort, limit)

    async def newest_dead_letters(self, tenant_id: str, limit: int) -> Sequence[ChangeRecord]:
        """Dead-lettered changes, those that ended last first; at most 10,000."""
        sort = [{"finished_at": "desc"}, {"event_id": "asc"}]
        return await self._search(_in_state(tenant_id, ChangeState.DEAD_LETTERED), sort, limit)

    async def counts(self, tenant_id: str) -> Mapping[ChangeState, int]:
        """Changes by state; see the port."""
        response = await search_now(
            self._store,
            self._alias,
            size=0,
            query={"bool": {"filter": [{"term": {"tenant_id": tenant_id}}]}},
            aggs={"states": {"terms": {"field": "state", "size": len(ChangeState)}}},
        )
        buckets = response["aggregations"]["states"]["buckets"]
        return {ChangeState(bucket["key"]): bucket["doc_count"] for bucket in buckets}

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's rows."""
        while True:
            response = await search_now(
                self._store,
                self._alias,
                size=_DROPPED_AT_ONCE,
                source=False,
                query={"bool": {"filter": [{"term": {"tenant_id": tenant_id}}]}},
            )
            hits = response["hits"]["hits"]
            if not hits:
                return
            await bulk(self._store, [self._write(hit["_id"], None) for hit in hits])

    async def _search(
        self, filters: Sequence[Mapping[str, Any]], sort: Sequence[Mapping[str, Any]], limit: int
    ) -> list[ChangeRecord]:
        if limit <= 0:
            return []
        response = await search_now(
            self._store,
            self._alias,
            size=min(limit, MAX_HITS),
            query={"bool": {"filter": filters}},
            sort=sort,
            track_total_hits=False,
        )
        return [record_of(hit["_source"]) for hit in response["hits"]["hits"]]

    async def _get(self, row_id: str) -> Found | None:
        return await get(self._store, self._alias, row_id)

    def _write(
        self, row_id: str, row: Mapping[str, Any] | None, expected: Found | None = None, *, create: bool = False
    ) -> Write:
        if expected is None:
            return Write(self._alias, row_id, row, create=create)
        return Write(self._alias, row_id, row, seq_no=expected.seq_no, primary_term=expected.primary_term)

    def _newest_write(self, key: DocumentKey, versions: Sequence[int], newest: _Newest | None) -> Write:
        row_id, row = newest_id(key), newest_row(key, versions)
        if newest is None:
            return Write(self._alias, row_id, row, create=True)
        return Write(self._alias, row_id, row, seq_no=newest.seq_no, primary_term=newest.primary_term)

    def _newest_of(self, key: DocumentKey, found: Found | None) -> _Newest | None:
        newest = _Newest(versions_of(found.source), found.seq_no, found.primary_term) if found else None
        self._newest.set(key, newest)
        return newest

    def _remember_newest(self, key: DocumentKey, versions: tuple[int, ...], written: Written) -> None:
        known = written.seq_no is not None and written.primary_term is not None
        self._newest.set(key, _Newest(versions, written.seq_no or 0, written.primary_term or 0) if known else None)

    def _remember(self, record: ChangeRecord, written: Written) -> None:
        if written.seq_no is not None and written.primary_term is not None:
            self._accepted.set(record.event_id, _Known(record, written.seq_no, written.primary_term))


def _in_state(tenant_id: str, state: ChangeState) -> list[Mapping[str, Any]]:
    return [{"term": {"tenant_id": tenant_id}}, {"term": {"state": state.value}}]


async def _until_settled(attempt: Callable[[], Awaitable[T | None]]) -> T:
    """Repeats a compare-and-set until it gives a result."""
    for _ in range(_ATTEMPTS):
        result = await attempt()
        if result is not None:
            return result
        # By chance, so that those who collided do not collide again.
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311
    raise DependencyUnavailable(
        "Too many changes of one document are recorded at once: retry later.",
        reason="CHANGE_CONTENDED",
        retry_after_seconds=1.0,
    )
