"""What the indexes should hold: heads and the chunk store side by side, in the order of document ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from corpus.domain import Head, HeadState, StoredRow
from corpus.ids import chunk_id
from corpus.ports import ChunkStore, Heads, StoredVersion

PAGE = 500


@dataclass(slots=True)
class DocumentState:
    """One document as heads and the chunk store have it."""

    document_id: str
    head: Head | None = None
    versions: list[StoredVersion] = field(default_factory=list)
    stored: list[StoredRow] = field(default_factory=list)

    @property
    def live(self) -> Head | None:
        """The head, if it names chunks."""
        return self.head if self.head is not None and self.head.state is HeadState.LIVE else None


def named_ids(head: Head) -> list[str]:
    """Ids of all chunks that a live head names: they derive from it."""
    tenant_id, document_id = head.key.tenant_id, head.key.document_id
    return [
        chunk_id(tenant_id, document_id, head.chunks_version, ordinal, head.generation)
        for ordinal in range(head.chunk_count)
    ]


def named_in(head: Head, generation: str, stored: Sequence[StoredRow]) -> list[str]:
    """Ids of the chunks that a live head names in a generation. They derive from the head for the one that wrote it.
    Another one may cut the text otherwise: there, what the chunk store holds of the version counts."""
    if head.generation == generation:
        return named_ids(head)
    return [
        row.chunk_id for row in stored if row.generation == generation and row.chunks_version == head.chunks_version
    ]


def is_named(head: Head | None, chunks_version: int, generation: str) -> bool:
    """Whether the head names this version. It does so for every generation that is kept (docs/generations.md); what is
    left of one that is not is for the sweeper."""
    return head is not None and head.state is HeadState.LIVE and head.chunks_version == chunks_version


async def document_pages(heads: Heads, chunks: ChunkStore, tenant_id: str) -> AsyncIterator[Sequence[DocumentState]]:
    """Every document that has a head or a stored version. Nothing is locked: what changes meanwhile may be seen before
    or after the change, or half of each."""
    after = ""
    while True:
        page = await heads.list(tenant_id, after=after, limit=PAGE, include_deleted=True)
        versions = await chunks.stored_versions(tenant_id, after=after, limit=PAGE)
        ends = [page[-1].key.document_id] if len(page) == PAGE else []
        ends += [versions[-1].document_id] if versions else []
        end = min(ends, default=None)
        states: dict[str, DocumentState] = {}
        for head in page:
            if end is None or head.key.document_id <= end:
                states[head.key.document_id] = DocumentState(head.key.document_id, head)
        for version in versions:
            if end is None or version.document_id <= end:
                states.setdefault(version.document_id, DocumentState(version.document_id)).versions.append(version)
        await _add_rows(chunks, tenant_id, states)
        if states:
            yield [states[document_id] for document_id in sorted(states)]
        if end is None:
            return
        after = end


async def _add_rows(chunks: ChunkStore, tenant_id: str, states: dict[str, DocumentState]) -> None:
    wanted = [
        (state.document_id, version.chunks_version, version.generation)
        for state in states.values()
        for version in state.versions
    ]
    rows = defaultdict(list)
    for row in await chunks.rows_of(tenant_id, wanted):
        rows[row.document_id].append(row)
    for document_id, of_document in rows.items():
        states[document_id].stored = of_document


def superseded_for_good(state: DocumentState, now: datetime, grace: timedelta) -> set[tuple[int, str]]:
    """(chunks_version, generation) that no head names and that are past the grace period, which counts from the change
    that superseded a version, not from when the version was stored."""
    past = now - grace
    named = next((v.stored_at for v in state.versions if is_named(state.head, v.chunks_version, v.generation)), None)
    since = named or (state.head.updated_at if state.head else None)
    return {
        (version.chunks_version, version.generation)
        for version in state.versions
        if not is_named(state.head, version.chunks_version, version.generation)
        and version.stored_at <= past
        and (since is None or since <= past)
    }
