"""PDF through PDFium: lines with positions to headings, paragraphs and tables, page by page."""

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium_c  # type: ignore[import-untyped]

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.errors import DocumentTooLarge, EncryptedDocument, NoTextLayer, ParsingError, UnreadableDocument
from ingest.parsing.model import SectionKind
from ingest.parsing.normalise import normalise, one_line
from ingest.parsing.pdf_headings import OutlineEntry
from ingest.parsing.pdf_layout import Block, BlockKind, layout
from ingest.parsing.pdf_lines import PageLines, read_page
from ingest.parsing.pdf_title import telling_title
from ingest.parsing.scalars import parse_datetime
from ingest.parsing.source import Source

_PROPERTIES = {"Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords"}
_MAX_OUTLINE_DEPTH = 6


def parse_pdf(source: Source, build: DocumentBuilder) -> None:
    """Parse a PDF into `build`.

    Raises:
        EncryptedDocument: It needs a password.
        DocumentTooLarge: More pages than `max_pages`.
        NoTextLayer: Pages without any text.
        UnreadableDocument: PDFium cannot open it.
    """
    document = _open(source.data)
    try:
        if len(document) > source.limits.max_pages:
            raise DocumentTooLarge("the document has more pages than the limit")
        property_title = _read_properties(document, build)
        pages = [_page(document, index, build, source.limits.max_output_chars) for index in range(len(document))]
        if not any(page.lines for page in pages):
            raise NoTextLayer
        for block in layout(pages, _outline(document)):
            _append(build, block)
        if property_title is not None:
            build.title = telling_title(property_title, source.name, build.text())
    finally:
        document.close()


def _open(data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        raise _open_error() from error


def _open_error() -> ParsingError:
    if pdfium_c.FPDF_GetLastError() in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
        return EncryptedDocument()
    return UnreadableDocument("the PDF is damaged")


def _page(document: pdfium.PdfDocument, index: int, build: DocumentBuilder, max_chars: int) -> PageLines:
    try:
        page = document[index]
    except pdfium.PdfiumError:
        # One broken page of many must not lose the rest.
        build.warn("broken_pages_skipped")
        return PageLines(number=index + 1, width=1.0, height=1.0, lines=())
    try:
        return read_page(page, index + 1, max_chars)
    finally:
        page.close()


def _append(build: DocumentBuilder, block: Block) -> None:
    text = normalise(block.text)
    if block.kind is BlockKind.HEADING:
        build.heading(block.level, one_line(text))
        build.block(text, page=block.page)
        if build.title is None and block.page == 1 and _has_words(text):
            build.title = one_line(text)
    else:
        kind = SectionKind.TABLE if block.kind is BlockKind.TABLE else SectionKind.TEXT
        build.block(text, kind, block.page)


def _read_properties(document: pdfium.PdfDocument, build: DocumentBuilder) -> str | None:
    """Keep what the properties say, and return the one that may be a title."""
    properties = document.get_metadata_dict(skip_empty=True)
    for key, name in _PROPERTIES.items():
        if value := normalise(properties.get(key, "")).strip():
            build.metadata[name] = value[:4000]
    # D:20230804060209-04'00' (ISO 32000-1, 7.9.4); the day is what filters ask for.
    created = properties.get("CreationDate", "").removeprefix("D:")
    if len(created) >= 8 and (moment := parse_datetime(f"{created[:4]}-{created[4:6]}-{created[6:8]}")):
        build.metadata["created"] = moment
    # Converters put file names and accession numbers into the title; what has words may be one.
    candidates = (build.metadata.get("title"), build.metadata.get("subject"))
    return next((text for text in candidates if isinstance(text, str) and _has_words(text)), None)


def _has_words(text: str) -> bool:
    return " " in text and sum(char.isalpha() for char in text) * 3 > len(text)


def _outline(document: pdfium.PdfDocument) -> list[OutlineEntry]:
    """Return the bookmarks that point to a page: they name the headings and their levels."""
    entries = []
    for bookmark in document.get_toc(max_depth=_MAX_OUTLINE_DEPTH):
        destination = bookmark.get_dest()
        page = destination.get_index() if destination is not None else None
        title = one_line(normalise(bookmark.get_title()))
        if page is not None and title:
            entries.append(OutlineEntry(title, bookmark.level + 1, page + 1))
    return entries
