"""Making one version of a document searchable: fetch, parse, chunk, embed, write both indexes. No head is touched
here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from chassis.errors import DocumentRejected, NotFound
from chassis.objectstore.port import ObjectStore
from chassis.telemetry.metrics import INGEST_CHUNKS
from corpus.access import access_tokens
from corpus.domain import AccessPolicy, Chunk, ChunkedDocument, Generation, Section, VersionOrigin
from corpus.ids import chunk_id
from corpus.ports import Tenants
from ingest.chunking import ChunkedText, Chunker
from ingest.describe import described, document_time
from ingest.document_rows import lexical_rows, vector_rows
from ingest.domain import DocumentChange, Upsert, collected_key
from ingest.embedding import EmbedPassages
from ingest.known_bad import KnownBadFiles
from ingest.parsing.model import ParsedDocument
from ingest.ports import Parser
from ingest.privacy import PrivacyMode, PrivacyPolicy, PrivatePart
from ingest.rejections import RejectionBreaker
from ingest.reviews.quality import Finding, ReviewPolicy
from ingest.rows import ChunkRows
from ingest.stage import Stage


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """What was written for one version."""

    document: ChunkedDocument
    access: AccessPolicy
    tokens: int
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class IndexDocument:
    """Use case: one version of one document into the chunk store and both indexes. Idempotent: ids are
    deterministic."""

    objects: ObjectStore
    parser: Parser
    chunker: Chunker
    embed: EmbedPassages
    tenants: Tenants
    rows: ChunkRows
    max_chunks_per_document: int
    known_bad: KnownBadFiles | None = None
    breaker: RejectionBreaker | None = None
    privacy: PrivacyPolicy = field(default_factory=PrivacyPolicy)
    review: ReviewPolicy = field(default_factory=ReviewPolicy)

    async def index(self, event: DocumentChange, upsert: Upsert, generation: Generation) -> IndexedDocument:
        """Writes every row of the event's version; none is visible to a reader until a head names the version. Raises
        DocumentRejected, DependencyUnavailable (also INGEST_HALTED), Overloaded, DeadlineExceeded."""
        if self.known_bad is not None:
            await self.known_bad.check(event.key.tenant_id, upsert)
        async with self.breaker.indexing() if self.breaker is not None else nullcontext():
            return await self._index(event, upsert, generation)

    async def _index(self, event: DocumentChange, upsert: Upsert, generation: Generation) -> IndexedDocument:
        with Stage("fetch"):
            data = await self._fetch(upsert.content.object_key)
        with Stage("parse") as span:
            parsed = await self.parser.parse(data, upsert.draft.filename, upsert.draft.media_type)
            span.set_attribute("headwater.document.format", parsed.format)
            span.set_attribute("headwater.document.characters", len(parsed.text))
        original = parsed
        title = upsert.draft.title or parsed.title or ""
        private: PrivatePart | None = None
        if self.privacy.mode(event.key.tenant_id, upsert.draft.doc_type) is not PrivacyMode.NONE:
            with Stage("privacy") as span:
                private = await asyncio.to_thread(
                    self.privacy.applied, parsed, title, event.key.tenant_id, upsert.draft.doc_type
                )
                parsed, title = private.parsed, private.title
                span.set_attribute("headwater.document.personal_data", private.kinds)
        with Stage("chunk") as span:
            chunked = await self.chunker.chunk(parsed, title)
            span.set_attribute("headwater.document.chunks", len(chunked.chunks))
        if len(chunked.chunks) > self.max_chunks_per_document:
            raise DocumentRejected(
                f"The document has more than {self.max_chunks_per_document} chunks; split it into several documents.",
                reason="TOO_MANY_CHUNKS",
            )
        document = await self._document(event, upsert, generation, parsed, chunked, title)
        if private is not None:
            document = replace(document, metadata=private.tagged(document.metadata))
        access = AccessPolicy(access_tokens(event.key.tenant_id, upsert.draft.principals), upsert.draft.security_level)
        vectors = await vector_rows(self.embed, document, access, generation)
        terms = await lexical_rows(document, access)
        await self.rows.write(document, vectors, terms, private.pseudonyms if private is not None else None)
        INGEST_CHUNKS.add(len(document.chunks))
        written_at = document_time(document.metadata)
        # Of what the parser made, before anything personal was taken out.
        findings = await asyncio.to_thread(
            self.review.findings, original, upsert.draft.doc_type, written_at, event.accepted_at
        )
        return IndexedDocument(document, access, sum(chunk.token_count for chunk in document.chunks), findings)

    async def _fetch(self, object_key: str) -> bytes:
        try:
            return await self.objects.get(object_key)
        except NotFound:
            pass
        try:
            # Set aside in the moment in which the change was accepted, because nothing named it until then.
            data = await self.objects.get(collected_key(object_key))
            await self.objects.put(object_key, data)
            return data
        except NotFound:
            raise DocumentRejected(
                "The document's bytes are no longer in the object store; put it again.", reason="CONTENT_MISSING"
            ) from None

    async def _document(
        self,
        event: DocumentChange,
        upsert: Upsert,
        generation: Generation,
        parsed: ParsedDocument,
        chunked: ChunkedText,
        title: str,
    ) -> ChunkedDocument:
        key, version = event.key, event.version
        tenant = await self.tenants.get(key.tenant_id)
        metadata = described(upsert.draft.metadata, parsed.metadata, tenant.fields if tenant else {})
        # Of source code, people filter by the programming language; its text is analysed as what it is written in.
        language = str(metadata.get("language") or parsed.language)
        sections = [
            Section(number, part.heading_path, part.start, part.end, parsed.text[part.start : part.end], part.page or 0)
            for number, part in enumerate(chunked.sections)
        ]
        return ChunkedDocument(
            key=key,
            chunks_version=version,
            generation=generation.name,
            title=title,
            doc_type=upsert.draft.doc_type,
            uri=upsert.draft.uri,
            language=language,
            metadata=metadata,
            updated_at=document_time(metadata) or event.accepted_at,
            sections=sections,
            chunks=_chunks(event, generation, chunked),
            origin=VersionOrigin(
                object_key=upsert.content.object_key,
                content_sha256=upsert.content.sha256,
                size_bytes=upsert.content.size_bytes,
                filename=upsert.draft.filename,
                media_type=upsert.draft.media_type,
                text_language=parsed.language,
            ),
        )


def _chunks(event: DocumentChange, generation: Generation, chunked: ChunkedText) -> list[Chunk]:
    key, version = event.key, event.version
    return [
        Chunk(
            chunk_id=chunk_id(key.tenant_id, key.document_id, version, piece.ordinal, generation.name),
            key=key,
            chunks_version=version,
            ordinal=piece.ordinal,
            generation=generation.name,
            text=piece.text,
            start=piece.start,
            end=piece.end,
            section_ordinal=piece.section_index,
            heading_path=piece.heading_path,
            page=piece.page or 0,
            kind=str(piece.kind),
            token_count=piece.token_count,
            content_sha256=hashlib.sha256(piece.text.encode()).hexdigest(),
        )
        for piece in chunked.chunks
    ]
