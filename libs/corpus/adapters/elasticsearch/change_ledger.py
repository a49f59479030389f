"""The change ledger in Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from chassis.clock import to_micros
from chassis.elasticsearch.bulk import Write, Written, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import MAX_HITS, Found, get, get_many, search_now
from chassis.errors import Conflict
from corpus.adapters.elasticsearch.change_ledger_rows import (
    ALIAS,
    KEPT_VERSIONS,
    SPEC,
    Known,
    Newest,
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
    without_version,
)
from corpus.adapters.elasticsearch.settling import until_settled
from corpus.adapters.rules import (
    discarded,
    earlier_record,
    may_age_out,
    reopened,
    require_terminal,
    while_pending,
)
from corpus.domain import ChangeRecord, ChangeState, DocumentKey
from corpus.ports import Aged

SPECS: Final = (SPEC,)
_KEPT: Final = (ChangeState.PENDING, ChangeState.DEAD_LETTERED)
"""States that no change is removed in, however old it is."""
_REMEMBERED: Final = 4096
_DROPPED_AT_ONCE: Final = 5_000


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
        self._newest: Recent[DocumentKey, Newest] = Recent(_REMEMBERED)
        self._accepted: Recent[str, Known] = Recent(_REMEMBERED)

    async def accept(self, record: ChangeRecord) -> ChangeRecord:
        """Records a pending change; see the port. One request when the change is new, one more when it is not."""
        newest = self._newest.get(record.key)
        if newest is not None and record.version in newest.versions:
            settled = await self._settle(record)
            if settled is not None:
                return settled

        async def attempt() -> ChangeRecord | None:
            return record if await self._create(record) else await self._settle(record)

        return await until_settled(attempt)

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
            self._accepted.set(known.event_id, Known(known, change.seq_no, change.primary_term))
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

        await until_settled(attempt)

    async def finish(
        self, event_id: str, state: ChangeState, *, at: datetime, reason: str = "", message: str = "", attempts: int = 0
    ) -> None:
        """Sets a terminal state unless one is set; see the port."""
        require_terminal(state)

        def finished(known: ChangeRecord) -> ChangeRecord:
            attempted = max(known.attempts, attempts)
            return replace(known, state=state, finished_at=at, reason=reason, message=message, attempts=attempted)

        await self._change(event_id, while_pending(finished))

    async def note_failure(self, event_id: str, *, reason: str, message: str, attempts: int) -> None:
        """Notes why a change is still pending; see the port."""
        await self._change(
            event_id,
            while_pending(lambda known: replace(known, reason=reason, message=message, attempts=attempts)),
        )

    async def reopen(self, event_id: str, *, replay: int) -> ChangeRecord | None:
        """Makes a dead-lettered change pending again; see the port."""
        return await self._change(event_id, lambda known: reopened(known, replay))

    async def discard(self, event_id: str, *, at: datetime, message: str) -> ChangeRecord | None:
        """Gives a dead-lettered change up; see the port."""
        return await self._change(event_id, lambda known: discarded(known, at, message))

    async def _change(self, event_id: str, changed: Callable[[ChangeRecord], ChangeRecord]) -> ChangeRecord | None:
        """The record as it is then. What is remembered of a change may be old, so only a read tells that nothing has to
        be done."""

        async def attempt() -> tuple[ChangeRecord | None] | None:
            remembered = self._accepted.pop(event_id)
            known = remembered or await self._find(event_id)
            if known is None:
                return (None,)
            record = changed(known.record)
            if record is known.record:
                return None if remembered else (record,)
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
            return None if written.conflict else (record,)

        (record,) = await until_settled(attempt)
        return record

    async def _find(self, event_id: str) -> Known | None:
        event = await self._get(event_row_id(event_id))
        change = await self._get(event.source["change"]["id"]) if event else None
        if change is None:
            return None
        record = record_of(change.source)
        # An event that came second names a change that is another one's.
        return Known(record, change.seq_no, change.primary_term) if record.event_id == event_id else None

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

    async def oldest_pending(
        self, tenant_id: str, limit: int, *, after: tuple[datetime, str] | None = None
    ) -> Sequence[ChangeRecord]:
        """Pending changes in the order of their acceptance; at most 10,000 of them per call."""
        sort = [{"accepted_at": "asc"}, {"event_id": "asc"}]
        return await self._search(_in_state(tenant_id, ChangeState.PENDING), sort, limit, after)

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

    async def age_out(
        self,
        tenant_id: str,
        finished_before: datetime,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 500,
    ) -> Aged:
        """Removes changes that ended long ago; see the port. Of one that a crash interrupted, the event may stay until
        the tenant is dropped: it names a change that is not there, which reads as unknown."""
        ended: list[Mapping[str, Any]] = [
            {"term": {"tenant_id": tenant_id}},
            {"terms": {"state": [state.value for state in ChangeState if state not in _KEPT]}},
            {"range": {"finished_at": {"lt": to_micros(finished_before)}}},
        ]
        sort = [{"finished_at": "asc"}, {"event_id": "asc"}]
        page = await self._search(ended, sort, limit, after)
        keys = list(dict.fromkeys(record.key for record in page))
        rows = await get_many(self._store, self._alias, [newest_id(key) for key in keys])
        greatest = {key: versions_of(row.source)[:1] for key, row in zip(keys, rows, strict=True) if row}
        removed = 0
        for record in page:
            if greatest.get(record.key, ()) > (record.version,):
                removed += await self._remove(record, finished_before)
        last = page[-1] if len(page) == limit else None
        return Aged(removed, (last.finished_at, last.event_id) if last and last.finished_at else None)

    async def _remove(self, record: ChangeRecord, finished_before: datetime) -> bool:
        """Removes a change, and then that its document has this version: between the two, ``newest`` searches."""
        row_id = change_id(record.key, record.version)
        found = await self._get(row_id)
        if found is None or not may_age_out(record_of(found.source), finished_before):
            return False
        [written] = await bulk(self._store, [self._write(row_id, None, found)])
        if written.conflict:
            return False
        await bulk(self._store, [self._write(event_row_id(record.event_id), None)])

        async def attempt() -> bool | None:
            newest = self._newest_of(record.key, await self._get(newest_id(record.key)))
            if newest is None or record.version not in newest.versions:
                return True
            versions = without_version(newest.versions, record.version)
            [renewed] = await bulk(self._store, [self._newest_write(record.key, versions, newest)])
            self._remember_newest(record.key, versions, renewed)
            return None if renewed.conflict else True

        return await until_settled(attempt)

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
        self,
        filters: Sequence[Mapping[str, Any]],
        sort: Sequence[Mapping[str, Any]],
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> list[ChangeRecord]:
        if limit <= 0:
            return []
        following = {"search_after": [to_micros(after[0]), after[1]]} if after else {}
        response = await search_now(
            self._store,
            self._alias,
            size=min(limit, MAX_HITS),
            query={"bool": {"filter": filters}},
            sort=sort,
            track_total_hits=False,
            **following,
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

    def _newest_write(self, key: DocumentKey, versions: Sequence[int], newest: Newest | None) -> Write:
        row_id, row = newest_id(key), newest_row(key, versions)
        if newest is None:
            return Write(self._alias, row_id, row, create=True)
        return Write(self._alias, row_id, row, seq_no=newest.seq_no, primary_term=newest.primary_term)

    def _newest_of(self, key: DocumentKey, found: Found | None) -> Newest | None:
        newest = Newest(versions_of(found.source), found.seq_no, found.primary_term) if found else None
        self._newest.set(key, newest)
        return newest

    def _remember_newest(self, key: DocumentKey, versions: tuple[int, ...], written: Written) -> None:
        known = written.seq_no is not None and written.primary_term is not None
        self._newest.set(key, Newest(versions, written.seq_no or 0, written.primary_term or 0) if known else None)

    def _remember(self, record: ChangeRecord, written: Written) -> None:
        if written.seq_no is not None and written.primary_term is not None:
            self._accepted.set(record.event_id, Known(record, written.seq_no, written.primary_term))


def _in_state(tenant_id: str, state: ChangeState) -> list[Mapping[str, Any]]:
    return [{"term": {"tenant_id": tenant_id}}, {"term": {"state": state.value}}]
