"""Documents of ours that every sound deployment reads: what tells a broken deployment from bad documents."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from chassis.errors import Defect, Disposition, DocumentRejected, HeadwaterError, disposition_of
from corpus.domain import DocumentKey, Generation
from ingest.chunking import Chunker
from ingest.codec import decode_change, encode_change
from ingest.domain import Delete, DocumentChange
from ingest.ports import Embedder, GenerationSource, Parser

_WORD: Final = "canary"
_SENTENCE: Final = f"The {_WORD} sings in the mine as long as the air is good."
_TRIES: Final = 2
"""A busy machine may time a parser out once."""


@dataclass(frozen=True, slots=True)
class CanaryDocument:
    """One document. ``suffixes``: tried only for doubts that a document of such a name gave rise to; empty: always."""

    filename: str
    data: bytes
    suffixes: tuple[str, ...] = ()


def _pdf() -> bytes:
    text = b"BT /F1 12 Tf 72 700 Td (" + _SENTENCE.encode() + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length " + str(len(text)).encode() + b" >>\nstream\n" + text + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    made, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(made))
        made += str(number).encode() + b" 0 obj\n" + body + b"\nendobj\n"
    start = len(made)
    made += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(made + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n" + str(start).encode() + b"\n%%EOF\n")


def _docx() -> bytes:
    open_xml = "http://schemas.openxmlformats.org"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{open_xml}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{open_xml}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{open_xml}/officeDocument/2006/relationships/officeDocument"'
        ' Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{open_xml}/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>'
        f"{_SENTENCE}</w:t></w:r></w:p></w:body></w:document>",
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as package:
        for name, text in parts.items():
            package.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return made.getvalue()


BUILT_IN: Final = (
    CanaryDocument("canary.md", f"# Mine\n\n{_SENTENCE}\n".encode()),
    CanaryDocument("canary.html", f"<html><body><h1>Mine</h1><p>{_SENTENCE}</p></body></html>".encode()),
    CanaryDocument("canary.pdf", _pdf()),
    # Reading these takes seconds of imports in a process that has not yet read one.
    CanaryDocument("canary.docx", _docx(), (".docx", ".pptx", ".xlsx")),
)


@dataclass(frozen=True, slots=True)
class Canary:
    """Parses, chunks and embeds them, as the worker does with documents, and writes nothing."""

    parser: Parser
    chunker: Chunker
    embedder: Embedder
    generations: GenerationSource
    documents: Sequence[CanaryDocument] = BUILT_IN

    async def failure(self, filename: str | None) -> HeadwaterError | None:
        """See ``ingest.rejections.Probe``."""
        failure: HeadwaterError | None = None
        for _ in range(_TRIES):
            try:
                _decode_an_event()
                if filename is not None:
                    await self._read(filename.lower())
            except HeadwaterError as error:
                if disposition_of(error) is Disposition.BACK_OFF:
                    raise
                failure = error
            except Exception:
                # A parser that breaks its contract is as broken as one that refuses.
                failure = Defect("A built-in document makes the worker fail.")
            else:
                return None
        return failure

    async def _read(self, filename: str) -> None:
        generation = self.generations.current()
        texts: list[str] = []
        for document in self.documents:
            if document.suffixes and not filename.endswith(document.suffixes):
                continue
            parsed = await self.parser.parse(document.data, document.filename, "")
            chunked = await self.chunker.chunk(parsed, document.filename)
            if not any(_WORD in piece.text for piece in chunked.chunks):
                raise DocumentRejected(
                    "A built-in document is read as another text than it holds.", reason="UNREADABLE"
                )
            texts += [piece.text for piece in chunked.chunks]
        await self._embed(texts, generation)

    async def _embed(self, texts: Sequence[str], generation: Generation) -> None:
        # Not by way of the cache, which would answer for an embedder that is broken.
        vectors = await self.embedder.embed_passages(texts, generation.model_revision)
        if vectors.shape != (len(texts), generation.dimensions) or not np.isfinite(vectors).all():
            raise Defect("The embedder answers with vectors that can't be.", reason="BAD_VECTOR")


def _decode_an_event() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    event = DocumentChange(_WORD, DocumentKey(_WORD, _WORD), 1, at, Delete())
    if decode_change(encode_change(event)) != event:
        raise Defect("Events are read as others than they are.")
