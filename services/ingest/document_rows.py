"""The rows that both indexes hold of a chunked document: made when it is indexed, and again when an index lost them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

from corpus.analysis import analyse
from corpus.domain import AccessPolicy, ChunkedDocument, Generation, LexicalRow, Metadata, VectorRow
from corpus.entities import mentions, names
from corpus.metadata import row_metadata
from ingest.chunking import contextual_text
from ingest.embedding import EmbedPassages
from ingest.stage import Stage


def only(document: ChunkedDocument, chunk_ids: Collection[str]) -> ChunkedDocument:
    """The document with these of its chunks."""
    wanted = set(chunk_ids)
    return replace(document, chunks=[chunk for chunk in document.chunks if chunk.chunk_id in wanted])


async def vector_rows(
    embed: EmbedPassages, document: ChunkedDocument, access: AccessPolicy, generation: Generation
) -> list[VectorRow]:
    """A row per chunk; texts whose vectors are known are not embedded again. Raises what the embedder raises."""
    texts = [contextual_text(document.title, chunk.heading_path, chunk.text) for chunk in document.chunks]
    with Stage("embed") as span:
        span.set_attribute("headwater.chunks", len(texts))
        vectors = await embed.embed(texts, generation)
    filterable = _filterable(document)
    return [
        VectorRow(
            chunk.chunk_id,
            chunk.key,
            chunk.chunks_version,
            access,
            filterable,
            vector,
            content_sha256=chunk.content_sha256,
        )
        for chunk, vector in zip(document.chunks, vectors, strict=True)
    ]


async def lexical_rows(document: ChunkedDocument, access: AccessPolicy) -> list[LexicalRow]:
    """A row per chunk."""
    with Stage("analyse"):
        return await asyncio.to_thread(_lexical_rows, document, access, _filterable(document))


def _lexical_rows(document: ChunkedDocument, access: AccessPolicy, filterable: Metadata) -> list[LexicalRow]:
    # Of source code, people filter by the programming language; its text is analysed as what it is written in.
    language = document.origin.text_language if document.origin else document.language
    title_terms = analyse(document.title, language)
    headings = {path: analyse(" ".join(path), language) for path in {c.heading_path for c in document.chunks}}
    return [
        LexicalRow(
            chunk_id=chunk.chunk_id,
            key=chunk.key,
            chunks_version=chunk.chunks_version,
            access=access,
            metadata=filterable,
            title_terms=title_terms,
            heading_terms=headings[chunk.heading_path],
            body_terms=analyse(chunk.text, language),
            content_sha256=chunk.content_sha256,
            names=names(document.title),
            mentions=mentions(document.title, *chunk.heading_path, chunk.text),
        )
        for chunk in document.chunks
    ]


def _filterable(document: ChunkedDocument) -> Metadata:
    return row_metadata(
        document.metadata,
        document_id=document.key.document_id,
        updated_at=document.updated_at,
        title=document.title,
        doc_type=document.doc_type,
        uri=document.uri,
        language=document.language,
    )
