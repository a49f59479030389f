"""From bytes to a parsed document: one function, one table of parsers."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.charset import decode
from ingest.parsing.errors import (
    DocumentTooLarge,
    EmptyDocument,
    ParserMemoryExceeded,
    ParsingError,
    UnreadableDocument,
)
from ingest.parsing.formats import Format, sniff
from ingest.parsing.language import detect_language
from ingest.parsing.limits import ParseLimits
from ingest.parsing.model import ParsedDocument
from ingest.parsing.normalise import normalise
from ingest.parsing.source import Source

Parser = Callable[[Source, DocumentBuilder], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a parser lives; imported on first use, because one process needs only the formats of its lane."""

    module: str
    function: str
    is_text: bool


_PARSERS = {
    Format.MARKDOWN: _Entry("markdown", "parse_markdown", True),
    Format.RST: _Entry("rst", "parse_rst", True),
    Format.TEXT: _Entry("plain", "parse_plain", True),
    Format.HTML: _Entry("html", "parse_html", True),
    Format.PDF: _Entry("pdf", "parse_pdf", False),
    Format.OFFICE: _Entry("office", "parse_office", False),
    Format.CSV: _Entry("csv_table", "parse_csv", True),
    Format.JSON: _Entry("json_records", "parse_json", True),
    Format.JSONL: _Entry("json_records", "parse_jsonl", True),
    Format.CODE: _Entry("source_code", "parse_code", True),
}
_HTML_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]+)", re.I)


def load_parser(format_: Format) -> Parser:
    """Import and return the parser of `format_`; forking after this shares the imports."""
    entry = _PARSERS[format_]
    parser: Parser = getattr(import_module(f"ingest.parsing.{entry.module}"), entry.function)
    return parser


def parse_document(
    data: bytes,
    *,
    filename: str = "",
    media_type: str = "",
    language: str | None = None,
    limits: ParseLimits | None = None,
) -> ParsedDocument:
    """Parse one document in this process. Pure and deterministic; untrusted input belongs into the sandbox.

    Args:
        data: The bytes of the document.
        filename: Name or path as the source knows it; only its last part is used, as a hint.
        media_type: Declared media type; empty or `application/octet-stream` when unknown.
        language: Declared language, which wins over detection.
        limits: Sizes that are checked here; CPU, memory and time are the sandbox's.

    Raises:
        ParsingError: One of its subclasses says why the document is bad.
    """
    limits = limits or ParseLimits()
    if not data:
        raise EmptyDocument
    if len(data) > limits.max_input_bytes:
        raise DocumentTooLarge
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    build = DocumentBuilder(limits.max_output_chars)
    format_ = sniff(data, name, media_type)
    build.format = format_.value
    try:
        text = _text_of(format_, data, build) if _PARSERS[format_].is_text else ""
        load_parser(format_)(Source(data=data, text=text, name=name, limits=limits), build)
        return build.finish(detect_language(build.text(), language or build.language))
    except ParsingError:
        raise
    except MemoryError as error:
        raise ParserMemoryExceeded from error
    except Exception as error:
        # Third-party parsers raise whatever they like on damaged input, and their texts may quote the document.
        raise UnreadableDocument(f"the {build.format} parser failed with {type(error).__name__}") from error


def _text_of(format_: Format, data: bytes, build: DocumentBuilder) -> str:
    if format_ is Format.HTML and (match := _HTML_CHARSET.search(data[:4096])):
        try:
            return normalise(data.decode(match[1].decode("ascii")))
        except (UnicodeDecodeError, LookupError):
            build.warn("declared_charset_wrong")
    return normalise(decode(data, build.warn))
