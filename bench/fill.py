"""Fills the stores of a running installation through their ports.

What searching is measured on is many rows, not the hour in which a few cores would embed their text.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from bench.vector_index import clustered
from chassis.lifecycle import Lifecycle
from chassis.settings import read_settings
from corpus.access import access_tokens
from corpus.analysis import analyse
from corpus.domain import (
    AccessPolicy,
    Chunk,
    ChunkedDocument,
    DocumentKey,
    Head,
    HeadState,
    LexicalRow,
    Section,
    VectorRow,
)
from corpus.engines import CorpusStores, open_engines
from corpus.ids import chunk_id
from corpus.metadata import row_metadata
from ingest.settings import IngestSettings

CHUNKS_PER_DOCUMENT = 50
_AT_ONCE = 4


async def fill(tenant_id: str, texts: Sequence[str], principals: Sequence[str], prefix: str) -> float:
    """One chunk per text, ``CHUNKS_PER_DOCUMENT`` to a document, with clustered random vectors; live when it returns.

    Works where several processes may write: in the cluster profile. Returns chunks per second.
    """
    settings = read_settings(IngestSettings)
    lifecycle = Lifecycle(settings)
    vectors, _ = clustered(len(texts), 1)
    began = time.perf_counter()
    async with lifecycle.stack:
        stores = await open_engines(lifecycle, settings).stores(writable=True)
        active = await stores.generations.active()
        if active is None:
            raise SystemExit("nothing was ingested yet, so there is no generation to fill")
        room = asyncio.Semaphore(_AT_ONCE)

        async def write(number: int, first: int, part: Sequence[str]) -> None:
            async with room:
                key = DocumentKey(tenant_id, f"{prefix}{number:05}")
                await _write(stores, active.name, key, part, vectors[first : first + len(part)], principals)

        async with asyncio.TaskGroup() as tasks:
            for number, first in enumerate(range(0, len(texts), CHUNKS_PER_DOCUMENT)):
                tasks.create_task(write(number, first, texts[first : first + CHUNKS_PER_DOCUMENT]))
    return len(texts) / (time.perf_counter() - began)


async def _write(
    stores: CorpusStores,
    generation: str,
    key: DocumentKey,
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    principals: Sequence[str],
) -> None:
    """What ingestion writes for one version, in its order."""
    now = datetime.now(UTC)
    version = int(now.timestamp() * 1e6)
    access = AccessPolicy(access_tokens(key.tenant_id, tuple(principals)))
    document = _document(key, version, generation, texts, now)
    filterable = row_metadata(
        {}, document_id=key.document_id, updated_at=now, title=document.title, doc_type="", uri="", language="en"
    )
    title_terms = analyse(document.title, "en")
    await stores.chunks.put(document)
    await asyncio.gather(
        stores.vectors.write(
            generation,
            [
                VectorRow(chunk.chunk_id, key, version, access, filterable, vector)
                for chunk, vector in zip(document.chunks, vectors, strict=True)
            ],
        ),
        stores.lexical.write(
            generation,
            [
                LexicalRow(chunk.chunk_id, key, version, access, filterable, title_terms, (), analyse(chunk.text, "en"))
                for chunk in document.chunks
            ],
        ),
    )
    await stores.heads.put(
        Head(
            key=key,
            version=version,
            chunks_version=version,
            state=HeadState.LIVE,
            access=access,
            generation=generation,
            event_id=f"fill-{key.document_id}",
            updated_at=now,
            principals=tuple(principals),
            title=document.title,
            language="en",
            chunk_count=len(document.chunks),
        )
    )


def _document(key: DocumentKey, version: int, generation: str, texts: Sequence[str], now: datetime) -> ChunkedDocument:
    whole = "\n\n".join(texts)
    chunks, start = [], 0
    for ordinal, text in enumerate(texts):
        chunks.append(
            Chunk(
                chunk_id=chunk_id(key.tenant_id, key.document_id, version, ordinal, generation),
                key=key,
                chunks_version=version,
                ordinal=ordinal,
                generation=generation,
                text=text,
                start=start,
                end=start + len(text),
                section_ordinal=0,
                content_sha256=hashlib.sha256(text.encode()).hexdigest(),
            )
        )
        start += len(text) + 2
    return ChunkedDocument(
        key=key,
        chunks_version=version,
        generation=generation,
        title=f"Filler {key.document_id}",
        doc_type="",
        uri="",
        language="en",
        metadata={},
        updated_at=now,
        sections=[Section(0, (), 0, len(whole), whole)],
        chunks=chunks,
    )
