"""Office Open XML: DOCX and PPTX through markitdown to Markdown, XLSX sheet by sheet."""

import io
import re

from markitdown import StreamInfo
from markitdown.converters import DocxConverter, PptxConverter

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.containers import open_container, read_properties
from ingest.parsing.errors import DocumentTooLarge, UnsupportedFormat
from ingest.parsing.markdown import MarkdownSections
from ingest.parsing.normalise import normalise
from ingest.parsing.source import Source
from ingest.parsing.spreadsheet import append_workbook

# Pictures come as links or inline data: only the alternative text is text.
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_SLIDE = re.compile(r"<!-- Slide number: (\d+) -->\n?")
_PARTS = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx"}


def parse_office(source: Source, build: DocumentBuilder) -> None:
    """Parse a DOCX, PPTX or XLSX file into `build`; the container's content says which it is.

    Raises:
        UnsupportedFormat: A zip file that is none of them.
        ParsingError: As `open_container`.
    """
    with open_container(source.data, source.limits) as archive:
        names = set(archive.namelist())
        kind = next((kind for part, kind in _PARTS.items() if part in names), None)
        if kind is None:
            raise UnsupportedFormat("archives are not supported: send the documents in them one by one")
        build.metadata.update(read_properties(archive))
    build.format = kind
    title, language = build.metadata.get("title"), build.metadata.get("language")
    if isinstance(title, str):
        build.title = title
    if isinstance(language, str):
        build.language = language
    if kind == "docx":
        _append_document(source, build)
    elif kind == "pptx":
        _append_slides(source, build)
    else:
        append_workbook(source, build)


def _append_document(source: Source, build: DocumentBuilder) -> None:
    result = DocxConverter().convert(  # type: ignore[no-untyped-call]
        io.BytesIO(source.data), StreamInfo(extension=".docx")
    )
    MarkdownSections(build).feed(_clean(result.markdown))


def _append_slides(source: Source, build: DocumentBuilder) -> None:
    result = PptxConverter().convert(  # type: ignore[no-untyped-call]
        io.BytesIO(source.data), StreamInfo(extension=".pptx")
    )
    # [before the first slide, number, text, number, text, …]
    parts = _SLIDE.split(result.markdown)
    if len(parts) // 2 > source.limits.max_pages:
        raise DocumentTooLarge("the document has more slides than the limit")
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        # A slide without a title must not end up under the one before it.
        build.heading(1, "")
        MarkdownSections(build, page=int(number)).feed(_clean(text))


def _clean(markdown: str) -> str:
    text = _IMAGE.sub(lambda match: match[1], normalise(markdown))
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n\n"
