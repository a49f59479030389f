"""Sample heads, documents and changes for the suites of the corpus ports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from corpus.domain import (
    AccessPolicy,
    ChangeKind,
    ChangeRecord,
    ChangeState,
    Chunk,
    ChunkedDocument,
    DocumentKey,
    Head,
    HeadState,
    Section,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)
GENERATION = "g0123456789abcdef"


def key(document_id: str = "doc", tenant_id: str = "acme") -> DocumentKey:
    return DocumentKey(tenant_id, document_id)


def head(document_id: str = "doc", version: int = 1, tenant_id: str = "acme", **changes: Any) -> Head:
    """A live head with a value in every field."""
    full = Head(
        key=key(document_id, tenant_id),
        version=version,
        chunks_version=version,
        state=HeadState.LIVE,
        access=AccessPolicy(frozenset({"0a" * 16, "0b" * 16}), 3),
        generation=GENERATION,
        event_id=f"event-{version}",
        updated_at=NOW,
        principals=("user:Bob@x", "group:eng", 'group:"quoted", é'),
        expires_at=NOW + timedelta(days=1, microseconds=1),
        title="Titel – 標題",
        doc_type="manual",
        uri="file:///a b.md",
        language="de",
        filename="a b.md",
        media_type="text/markdown",
        metadata={
            "product": "T",
            "price": 1.5,
            "public": False,
            "since": NOW,
            "tags": ("a", "b"),
            "sizes": (1.0, 2.0),
            "empty": (),
        },
        content_sha256="c" * 64,
        description_sha256="d" * 64,
        object_key="acme/object",
        size_bytes=1234,
        chunk_count=4,
        token_count=400,
        ingest_trace_id="e" * 32,
    )
    return replace(full, **changes)


def tombstone(document_id: str = "doc", version: int = 1, tenant_id: str = "acme") -> Head:
    """A deleted head, with nothing but what it must have."""
    policy = AccessPolicy(frozenset())
    return Head(key(document_id, tenant_id), version, 0, HeadState.DELETED, policy, GENERATION, f"event-{version}", NOW)


def document(
    document_id: str = "doc",
    version: int = 1,
    tenant_id: str = "acme",
    *,
    generation: str = GENERATION,
    chunks: int = 3,
    sections: int = 2,
    text: str = "text",
) -> ChunkedDocument:
    """A chunked document whose chunk ids name what they belong to."""
    of = key(document_id, tenant_id)
    return ChunkedDocument(
        key=of,
        chunks_version=version,
        generation=generation,
        title=f"Title of {document_id}",
        doc_type="manual",
        uri="file:///x",
        language="en",
        metadata={"product": "T", "since": NOW},
        updated_at=NOW,
        sections=[
            Section(i, ("Part", f"{i}"), i * 10, i * 10 + 10, f"{text} § {i}", page=i + 1) for i in range(sections)
        ],
        chunks=[
            Chunk(
                chunk_id=f"{document_id}/{version}/{generation}/{i}",
                key=of,
                chunks_version=version,
                ordinal=i,
                generation=generation,
                text=f"{text} {i} \U0001f600",
                start=i * 10,
                end=i * 10 + 5,
                section_ordinal=i % max(sections, 1),
                heading_path=("Part", f"{i}"),
                page=i + 1,
                kind="table",
                token_count=7,
                content_sha256="f" * 64,
            )
            for i in range(chunks)
        ],
    )


def change(
    event_id: str = "event-1", version: int = 1, document_id: str = "doc", tenant_id: str = "acme", **changes: Any
) -> ChangeRecord:
    """A pending upsert."""
    record = ChangeRecord(
        event_id=event_id,
        key=key(document_id, tenant_id),
        version=version,
        kind=ChangeKind.UPSERT,
        state=ChangeState.PENDING,
        accepted_at=NOW + timedelta(seconds=version),
        fingerprint="f" * 64,
        trace_id="e" * 32,
    )
    return replace(record, **changes)
