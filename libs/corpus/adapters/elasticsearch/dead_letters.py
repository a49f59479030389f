"""Dead letters, contents known to be bad and halts, in Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import MAX_HITS, Found, document_id, get, search_now
from chassis.elasticsearch.indexes import IndexSpec
from corpus.adapters.elasticsearch.settling import until_settled
from corpus.adapters.letter_rows import letter_from_json, letter_to_json
from corpus.dead_letters import Halt, KnownBad, Letter, LetterFilter, LetterState

_LETTERS: Final = "dead-letters"
_KNOWN_BAD: Final = "known-bad"
_HALTS: Final = "ingest-halts"
_RESUME: Final = "-resume"
"""Id of the one document that is no halt: no worker's id is made of these letters alone, see ``document_id``."""
_DROPPED_AT_ONCE: Final = 5_000

_SORTED: Final = {"type": "long"}
_STORED: Final = {"type": "object", "enabled": False}
SPECS: Final = (
    IndexSpec(
        _LETTERS,
        {
            "letter_id": {"type": "keyword"},
            "state": {"type": "keyword"},
            "tenant_id": {"type": "keyword"},
            "document_id": {"type": "keyword"},
            "reason": {"type": "keyword"},
            "last_failed_at": _SORTED,
            "decided_at": _SORTED,
            "letter": _STORED,
        },
    ),
    IndexSpec(
        _KNOWN_BAD,
        {"tenant_id": {"type": "keyword"}, "content_key": {"type": "keyword"}, "seen_at": _SORTED, "known": _STORED},
    ),
    IndexSpec(_HALTS, {"worker": {"type": "keyword"}, "halt": _STORED, "at": {"type": "long", "index": False}}),
)


class ElasticsearchDeadLetterStore:
    """Dead letters, for all processes. By id in real time; lists and counts refresh the index before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_LETTERS)

    async def get(self, letter_id: str) -> Letter | None:
        """The letter or None."""
        found = await self._found(letter_id)
        return _letter_of(found) if found else None

    async def put(self, letter: Letter, *, expected: Letter | None) -> bool:
        """Compares and sets; see the port."""
        found = await self._found(letter.letter_id)
        known = _letter_of(found) if found else None
        if known != expected or letter == expected:
            return False
        write = Write(
            self._alias,
            document_id(letter.letter_id),
            _letter_row(letter),
            create=found is None,
            seq_no=found.seq_no if found else None,
            primary_term=found.primary_term if found else None,
        )
        [written] = await bulk(self._store, [write])
        return not written.conflict

    async def list(
        self, which: LetterFilter, *, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> Sequence[Letter]:
        """A page of letters; see the port. At most 10,000."""
        following = {"search_after": [to_micros(after[0]), after[1]]} if after else {}
        sort = [{"last_failed_at": "desc"}, {"letter_id": "asc"}]
        return await self._search(_filters(which), sort, limit, following)

    async def count(self, which: LetterFilter) -> int:
        """Letters that fit."""
        query = {"bool": {"filter": _filters(which)}}
        response = await search_now(self._store, self._alias, size=0, query=query, track_total_hits=True)
        return int(response["hits"]["total"]["value"])

    async def decided_before(self, moment: datetime, limit: int) -> Sequence[Letter]:
        """Letters decided long ago; see the port."""
        states = [LetterState.REPLAYED.value, LetterState.DISCARDED.value]
        filters: list[Mapping[str, Any]] = [
            {"terms": {"state": states}},
            {"range": {"decided_at": {"lt": to_micros(moment)}}},
        ]
        return await self._search(filters, [{"decided_at": "asc"}, {"letter_id": "asc"}], limit, {})

    async def delete(self, letter_id: str) -> None:
        """Forgets a letter."""
        await bulk(self._store, [Write(self._alias, document_id(letter_id), None)])

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's letters."""
        await _drop(self._store, self._alias, {"term": {"tenant_id": tenant_id}})

    async def _found(self, letter_id: str) -> Found | None:
        return await get(self._store, self._alias, document_id(letter_id))

    async def _search(
        self,
        filters: Sequence[Mapping[str, Any]],
        sort: Sequence[Mapping[str, Any]],
        limit: int,
        following: Mapping[str, Any],
    ) -> Sequence[Letter]:
        if limit <= 0:
            return []
        response = await search_now(
            self._store,
            self._alias,
            size=min(limit, MAX_HITS),
            query={"bool": {"filter": filters}},
            sort=sort,
            track_total_hits=False,
            **following,
        )
        return [letter_from_json(hit["_source"]["letter"]) for hit in response["hits"]["hits"]]


class ElasticsearchKnownBadContent:
    """Contents known to be bad, for all processes. By id in real time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_KNOWN_BAD)

    async def get(self, tenant_id: str, content_key: str) -> KnownBad | None:
        """The content or None."""
        found = await get(self._store, self._alias, document_id(tenant_id, content_key))
        return _known_of(found.source) if found else None

    async def note(self, seen: KnownBad) -> None:
        """Registers a content; see the port."""
        row_id = document_id(seen.tenant_id, seen.content_key)

        async def attempt() -> bool | None:
            found = await get(self._store, self._alias, row_id)
            counted = seen
            if found is not None:
                known = _known_of(found.source)
                counted = replace(seen, first_seen_at=known.first_seen_at, times=known.times + 1)
            write = Write(
                self._alias,
                row_id,
                _known_row(counted),
                create=found is None,
                seq_no=found.seq_no if found else None,
                primary_term=found.primary_term if found else None,
            )
            [written] = await bulk(self._store, [write])
            return None if written.conflict else True

        await until_settled(attempt)

    async def forget(self, tenant_id: str, content_key: str) -> bool:
        """Removes a content."""
        [written] = await bulk(self._store, [Write(self._alias, document_id(tenant_id, content_key), None)])
        return written.found

    async def forget_before(self, moment: datetime, limit: int) -> int:
        """Removes contents not seen for long; see the port."""
        if limit <= 0:
            return 0
        response = await search_now(
            self._store,
            self._alias,
            size=min(limit, MAX_HITS),
            query={"range": {"seen_at": {"lt": to_micros(moment)}}},
            source=False,
        )
        hits = response["hits"]["hits"]
        await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in hits])
        return len(hits)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's contents."""
        await _drop(self._store, self._alias, {"term": {"tenant_id": tenant_id}})


class ElasticsearchHalts:
    """Halts, for all processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_HALTS)

    async def put(self, halt: Halt) -> None:
        """Says that a worker is halted."""
        await bulk(self._store, [Write(self._alias, document_id(halt.worker), _halt_row(halt))])

    async def clear(self, worker: str) -> None:
        """Says that it is not any more."""
        await bulk(self._store, [Write(self._alias, document_id(worker), None)])

    async def list(self) -> Sequence[Halt]:
        """Halted workers by name; at most 10,000."""
        response = await search_now(
            self._store,
            self._alias,
            size=MAX_HITS,
            query={"exists": {"field": "worker"}},
            sort=[{"worker": "asc"}],
            track_total_hits=False,
        )
        return [_halt_of(hit["_source"]) for hit in response["hits"]["hits"]]

    async def request_resume(self, at: datetime) -> None:
        """Asks workers to go on; see the port."""
        # The time is the version: something newer that is there stays.
        await bulk(self._store, [Write(self._alias, _RESUME, {"at": to_micros(at)}, version=to_micros(at))])

    async def resume_requested_at(self) -> datetime | None:
        """When that was asked for last."""
        found = await get(self._store, self._alias, _RESUME)
        return from_micros(found.source["at"]) if found else None


async def _drop(store: Store, alias: str, query: Mapping[str, Any]) -> None:
    while True:
        response = await search_now(store, alias, size=_DROPPED_AT_ONCE, source=False, query=query)
        hits = response["hits"]["hits"]
        if not hits:
            return
        await bulk(store, [Write(alias, hit["_id"], None) for hit in hits])


def _filters(which: LetterFilter) -> list[Mapping[str, Any]]:
    filters: list[Mapping[str, Any]] = []
    if which.tenant_id:
        filters.append({"term": {"tenant_id": which.tenant_id}})
    if which.reason:
        filters.append({"term": {"reason": which.reason}})
    if which.document_prefix:
        filters.append({"prefix": {"document_id": which.document_prefix}})
    if which.state is not None:
        filters.append({"term": {"state": which.state.value}})
    return filters


def _letter_row(letter: Letter) -> Mapping[str, Any]:
    row: dict[str, Any] = {
        "letter_id": letter.letter_id,
        "state": letter.state.value,
        "tenant_id": letter.tenant_id,
        "document_id": letter.document_id,
        "reason": letter.reason,
        "last_failed_at": to_micros(letter.last_failed_at),
        "letter": letter_to_json(letter),
    }
    if letter.decided_at is not None:
        row["decided_at"] = to_micros(letter.decided_at)
    return row


def _letter_of(found: Found) -> Letter:
    return letter_from_json(found.source["letter"])


def _known_row(known: KnownBad) -> Mapping[str, Any]:
    return {
        "tenant_id": known.tenant_id,
        "content_key": known.content_key,
        "seen_at": to_micros(known.last_seen_at),
        "known": {
            "reason": known.reason,
            "message": known.message,
            "first_seen_at": to_micros(known.first_seen_at),
            "times": known.times,
        },
    }


def _known_of(row: Mapping[str, Any]) -> KnownBad:
    known = row["known"]
    return KnownBad(
        row["tenant_id"],
        row["content_key"],
        known["reason"],
        known["message"],
        from_micros(known["first_seen_at"]),
        from_micros(row["seen_at"]),
        known["times"],
    )


def _halt_row(halt: Halt) -> Mapping[str, Any]:
    return {
        "worker": halt.worker,
        "halt": {
            "since": to_micros(halt.since),
            "seen_at": to_micros(halt.seen_at),
            "reason": halt.reason,
            "message": halt.message,
            "rejections": halt.rejections,
        },
    }


def _halt_of(row: Mapping[str, Any]) -> Halt:
    halt = row["halt"]
    return Halt(
        row["worker"],
        from_micros(halt["since"]),
        from_micros(halt["seen_at"]),
        halt["reason"],
        halt["message"],
        halt["rejections"],
    )
