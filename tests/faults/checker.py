"""Reads the stores, not the services, and compares them with the fold of what was accepted.

Of a live document both indexes and the chunk store hold exactly the rows (chunk_id, chunks_version, content_sha256) of
its newest content. What else they hold is of an older version that was accepted, and stays for the grace period.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.faults.generator import Event

from corpus.access import access_tokens
from corpus.domain import ChangeState, DocumentKey, Head, HeadState
from corpus.engines import CorpusStores
from corpus.ids import chunk_id

Row = tuple[str, int, str]
MANY = 10_000
GOOD_ENDS = {ChangeState.APPLIED, ChangeState.SUPERSEDED, ChangeState.DUPLICATE}


@dataclass(frozen=True, slots=True)
class Document:
    """What a document should be. ``content`` None: gone."""

    version: int
    content: Event | None
    readers: tuple[str, ...] = ()
    level: int = 0


def fold(accepted: Iterable[Event]) -> dict[str, Document]:
    """By version: deletes and changes of access are versions too."""
    state: dict[str, Document] = {}
    for event in sorted(accepted, key=lambda event: (event.document_id, event.version)):
        before = state.get(event.document_id)
        match event.kind:
            case "upsert":
                state[event.document_id] = Document(event.version, event, event.readers, event.level)
            case "delete":
                state[event.document_id] = Document(event.version, None)
            case "access" if before is None or before.content is None:
                state[event.document_id] = Document(event.version, None)
            case "access":
                state[event.document_id] = Document(event.version, before.content, event.readers, event.level)
    return state


@dataclass
class Findings:
    """What differs, by kind; empty when everything is as it should be."""

    missing: list[object] = field(default_factory=list)
    extra: list[object] = field(default_factory=list)
    stale: list[object] = field(default_factory=list)
    """Heads of another version, state or access than they should have."""
    open: list[object] = field(default_factory=list)
    """Changes without an end, or with a bad one."""
    live: int = 0
    gone: int = 0

    @property
    def all(self) -> Mapping[str, list[object]]:
        found = {"missing": self.missing, "extra": self.extra, "stale": self.stale, "open": self.open}
        return {kind: each for kind, each in found.items() if each}


async def compare(stores: CorpusStores, tenant_id: str, accepted: Iterable[tuple[Event, str]]) -> Findings:
    """Everything that the tenant holds with everything that was accepted for it."""
    pairs = list(accepted)
    events = {event for event, _ in pairs}
    expected, findings = fold(events), Findings()
    active = await stores.generations.active()
    assert active is not None
    heads = {
        head.key.document_id: head for head in await stores.heads.list(tenant_id, limit=MANY, include_deleted=True)
    }
    _compare_heads(findings, tenant_id, expected, heads)
    wanted = {
        row_of(tenant_id, document.content, active.name)
        for document in expected.values()
        if document.content is not None
    }
    kept = {row_of(tenant_id, event, active.name) for event in events if event.kind == "upsert"}
    stored = await _payload(stores, tenant_id, heads)
    content = {identity: sha256 for identity, _, sha256 in stored | kept}
    for index in (stores.vectors, stores.lexical):
        rows = await index.chunk_ids(active.name, tenant_id)
        _compare_rows(
            findings, {(each, version, content.get(each, "")) for each, version in rows.items()}, wanted, kept
        )
    _compare_rows(findings, stored, wanted, kept)
    await _compare_ends(findings, stores, tenant_id, pairs)
    findings.live, findings.gone = len(wanted), len(expected) - len(wanted)
    return findings


def row_of(tenant_id: str, event: Event, generation: str) -> Row:
    """The one chunk that a notice makes."""
    identity = chunk_id(tenant_id, event.document_id, event.version, 0, generation)
    return identity, event.version, hashlib.sha256(event.text.encode()).hexdigest()


def _compare_heads(
    findings: Findings, tenant_id: str, expected: Mapping[str, Document], heads: Mapping[str, Head]
) -> None:
    findings.missing += [f"head of {name}" for name in sorted(expected.keys() - heads.keys())]
    findings.extra += [f"head of {name}" for name in sorted(heads.keys() - expected.keys())]
    for name in expected.keys() & heads.keys():
        document, head = expected[name], heads[name]
        is_live = head.state is HeadState.LIVE
        same = (head.version, is_live) == (document.version, document.content is not None)
        if same and is_live:
            same = (head.access.tokens, head.access.security_level) == (
                access_tokens(tenant_id, document.readers),
                document.level,
            )
        if not same:
            findings.stale.append((name, head.version, head.state, document))


def _compare_rows(findings: Findings, rows: set[Row], wanted: set[Row], kept: set[Row]) -> None:
    findings.missing += sorted(wanted - rows)
    findings.extra += sorted(rows - wanted - kept)


async def _payload(stores: CorpusStores, tenant_id: str, heads: Iterable[str]) -> set[Row]:
    found: set[Row] = set()
    for name in heads:
        key = DocumentKey(tenant_id, name)
        for version, generation in await stores.chunks.versions_of(key):
            chunks = await stores.chunks.chunks_of(key, version, generation)
            found |= {(chunk.chunk_id, chunk.chunks_version, chunk.content_sha256) for chunk in chunks}
    return found


async def _compare_ends(
    findings: Findings, stores: CorpusStores, tenant_id: str, accepted: Iterable[tuple[Event, str]]
) -> None:
    """Every accepted change has exactly one end, under the id that its receipt gave."""
    ids = {event_id: event for event, event_id in accepted}
    names = list(ids)
    for start in range(0, len(names), 500):
        records = await stores.ledger.get_many(tenant_id, names[start : start + 500])
        for event_id in names[start : start + 500]:
            record = records.get(event_id)
            if record is None or record.state not in GOOD_ENDS:
                findings.open.append((ids[event_id], record and record.state))
