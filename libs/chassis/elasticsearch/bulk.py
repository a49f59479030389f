"""Bulk requests, with a look at every item (a bulk request succeeds as a whole even when every item failed)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import stamina

from chassis.elasticsearch.client import Store, error_of, store_errors
from chassis.errors import HeadwaterError, InvalidRequest, Overloaded

_UNINDEXABLE: Final = frozenset(
    {"document_parsing_exception", "mapper_parsing_exception", "strict_dynamic_mapping_exception"}
)
_ATTEMPTS: Final = 4
_UPDATE_ATTEMPTS: Final = 5
"""A partial write reads the document and writes it again, so another write may come between."""
_MAX_ITEMS: Final = 1_000
_MAX_BYTES: Final = 5 * 2**20
"""Of one request's documents. The server refuses 100 MiB, and does best with a few megabytes at a time; one document
alone may be larger."""

_Line = tuple[Mapping[str, Any], bytes | None]
"""Action and, unless it is a delete, the document."""


@dataclass(frozen=True, slots=True)
class Write:
    """One operation: ``source`` None is a delete.

    Attributes:
        alias: Full name of an alias (``Store.name``); an index that is missing is never created by a write.
        document_id: Its ``_id``.
        source: The document.
        version: With external versions (``external_gte``): something newer that is there stays.
        create: Only if no such document is there.
        partial: ``source`` holds some fields, which replace those of the document that is there; one that is not there
            is not made.
        seq_no, primary_term: Only if the document is still the one that was read.
        routing: Shard key.
    """

    alias: str
    document_id: str
    source: Mapping[str, Any] | None
    version: int | None = None
    create: bool = False
    partial: bool = False
    seq_no: int | None = None
    primary_term: int | None = None
    routing: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """How one operation ended.

    Attributes:
        conflict: Something newer (or another document) is there; nothing was written.
        found: False for a delete or a partial write that found nothing.
        seq_no, primary_term: Of the document as it was written here, for the next compare-and-set.
    """

    conflict: bool = False
    found: bool = True
    seq_no: int | None = None
    primary_term: int | None = None


async def bulk(store: Store, writes: Sequence[Write], *, refresh: str | bool = False) -> list[Written]:
    """Sends writes in bulk requests; items that were refused for want of room are sent again, a few times.

    Args:
        store: The connection.
        writes: In the order in which they are to be applied to one document; writes to different documents have no
            order.
        refresh: ``"wait_for"`` or True where the caller's next search must see the writes.

    Returns:
        One result per write.

    Raises:
        Overloaded, DependencyUnavailable: Some items are not written, or it is unknown; sending all again is safe.
        FailedPrecondition: An alias is missing (INDEX_MISSING).
        InvalidRequest: An item can't be indexed as it is (DOCUMENT_UNMAPPABLE).
    """
    results: list[Written] = []
    for part in _parts(writes):
        results += await _bulk(store, part, refresh)
    return results


def _parts(writes: Iterable[Write]) -> Iterator[list[_Line]]:
    part: list[_Line] = []
    size = 0
    for write in writes:
        document = _document(write)
        length = len(document or b"")
        if part and (len(part) == _MAX_ITEMS or size + length > _MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(({_operation(write): _action(write)}, document))
        size += length
    if part:
        yield part


def _document(write: Write) -> bytes | None:
    if write.source is None:
        return None
    source = {"doc": write.source} if write.partial else write.source
    return json.dumps(source, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


async def _bulk(store: Store, lines: Sequence[_Line], refresh: str | bool) -> list[Written]:
    results: dict[int, Written] = {}
    async for attempt in stamina.retry_context(on=Overloaded, attempts=_ATTEMPTS, wait_initial=0.1, wait_max=2.0):
        with attempt:
            left = [index for index in range(len(lines)) if index not in results]
            outcomes = await _send(store, [lines[index] for index in left], refresh)
            refused = None
            for index, outcome in zip(left, outcomes, strict=True):
                if isinstance(outcome, Written):
                    results[index] = outcome
                elif refused is None or not isinstance(outcome, Overloaded):
                    refused = outcome
            if refused is not None:
                raise refused
    return [results[index] for index in range(len(lines))]


async def _send(store: Store, lines: Sequence[_Line], refresh: str | bool) -> list[Written | HeadwaterError]:
    operations: list[Any] = [part for line in lines for part in line if part is not None]
    with store_errors():
        response = await store.client.bulk(operations=operations, refresh=refresh)
    return [_outcome(next(iter(item.values()))) for item in response["items"]]


def _operation(write: Write) -> str:
    if write.source is None:
        return "delete"
    if write.partial:
        return "update"
    return "create" if write.create else "index"


def _action(write: Write) -> dict[str, Any]:
    action: dict[str, Any] = {"_index": write.alias, "_id": write.document_id}
    if write.source is not None:
        action["require_alias"] = True
    if write.partial and write.seq_no is None:
        action["retry_on_conflict"] = _UPDATE_ATTEMPTS
    if write.version is not None:
        action |= {"version": write.version, "version_type": "external_gte"}
    if write.seq_no is not None:
        action |= {"if_seq_no": write.seq_no, "if_primary_term": write.primary_term}
    if write.routing is not None:
        action["routing"] = write.routing
    return action


def _outcome(item: Mapping[str, Any]) -> Written | HeadwaterError:
    status = int(item["status"])
    error = item.get("error")
    if error is None:
        # A delete of nothing answers 404 without an error.
        return Written(found=status != 404, seq_no=item["_seq_no"], primary_term=item["_primary_term"])
    if status == 409:
        return Written(conflict=True)
    kind = str(error.get("type", ""))
    if kind == "document_missing_exception":
        return Written(found=False)
    if status == 400 and kind in _UNINDEXABLE:
        return InvalidRequest(
            "Elasticsearch can't index a row as it is.", reason="DOCUMENT_UNMAPPABLE", metadata={"error": kind}
        )
    return error_of(status, kind)
