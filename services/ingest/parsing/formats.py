"""Which parser a document needs: by content first, then declared media type, then file name."""

import json
import re
from enum import StrEnum
from pathlib import PurePosixPath

from ingest.parsing.charset import looks_binary
from ingest.parsing.code_languages import language_of_name, language_of_shebang
from ingest.parsing.errors import EncryptedDocument, UnreadableDocument, UnsupportedFormat


class Format(StrEnum):
    """Formats with a parser. The value is what `ParsedDocument.format` says."""

    MARKDOWN = "markdown"
    RST = "rst"
    TEXT = "text"
    HTML = "html"
    PDF = "pdf"
    OFFICE = "office"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    CODE = "code"


class Lane(StrEnum):
    """Who may share a parser process; see `ingest.sandbox`.

    TEXT parsers are pure Python over text: a process serves several documents in a row. NATIVE and OFFICE ones
    run C code over hostile bytes: a process serves one document and dies. OFFICE needs the heavy imports.
    """

    TEXT = "text"
    NATIVE = "native"
    OFFICE = "office"


_EXTENSIONS = {
    "md": Format.MARKDOWN, "markdown": Format.MARKDOWN, "mdown": Format.MARKDOWN, "mkd": Format.MARKDOWN,
    "mdx": Format.MARKDOWN, "rst": Format.RST, "rest": Format.RST, "txt": Format.TEXT, "text": Format.TEXT,
    "log": Format.TEXT, "html": Format.HTML, "htm": Format.HTML, "xhtml": Format.HTML, "pdf": Format.PDF,
    "docx": Format.OFFICE, "docm": Format.OFFICE, "pptx": Format.OFFICE, "pptm": Format.OFFICE,
    "xlsx": Format.OFFICE, "xlsm": Format.OFFICE, "csv": Format.CSV, "tsv": Format.CSV, "json": Format.JSON,
    "jsonl": Format.JSONL, "ndjson": Format.JSONL, "geojson": Format.JSON, "ipynb": Format.JSON,
}  # fmt: skip
_OPENXML = "application/vnd.openxmlformats-officedocument."
_MEDIA_TYPES = {
    "text/markdown": Format.MARKDOWN, "text/x-markdown": Format.MARKDOWN, "text/x-rst": Format.RST,
    "text/prs.fallenstein.rst": Format.RST, "text/html": Format.HTML, "application/xhtml+xml": Format.HTML,
    "application/pdf": Format.PDF, "text/csv": Format.CSV, "text/tab-separated-values": Format.CSV,
    "application/json": Format.JSON, "application/x-ndjson": Format.JSONL, "application/jsonl": Format.JSONL,
    "application/x-jsonlines": Format.JSONL, f"{_OPENXML}wordprocessingml.document": Format.OFFICE,
    f"{_OPENXML}presentationml.presentation": Format.OFFICE, f"{_OPENXML}spreadsheetml.sheet": Format.OFFICE,
    "text/x-python": Format.CODE, "application/javascript": Format.CODE, "text/javascript": Format.CODE,
    "text/x-c": Format.CODE, "text/x-java-source": Format.CODE, "application/x-sh": Format.CODE,
    "application/sql": Format.CODE,
}  # fmt: skip
_BINARY_FORMATS = {Format.PDF, Format.OFFICE}
_OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_HEAD_BYTES = 64 * 1024
_HTML_START = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.I | re.S)
_MARKDOWN_HINT = re.compile(r"^(?:#{1,6} \S|```|\|? ?:?-{3,}:? ?\|)", re.M)
_RST_HINT = re.compile(r"^(?:\.\. [\w-]+::|\S.*\n([=~\-^*]){4,}\s*$)", re.M)


def sniff(data: bytes, filename: str, media_type: str) -> Format:
    """Return the format of `data`; cheap enough for the event loop (looks at 64 KiB, runs no parser).

    Content decides where it is unmistakable (signatures, an HTML prologue, binary bytes). A declared type that
    content contradicts is ignored: a PDF called `.txt` is a PDF.

    Raises:
        EncryptedDocument: An Office file in its password-protected container.
        UnreadableDocument: Binary content that lacks the signature of the format it claims.
        UnsupportedFormat: Binary content of no known kind.
    """
    head = data[:_HEAD_BYTES]
    if b"%PDF-" in head[:1024]:
        return Format.PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.OFFICE
    if head.startswith(_OLE2):
        if _ENCRYPTED_PACKAGE in data:
            raise EncryptedDocument
        raise UnsupportedFormat("older binary Office formats are not supported: save as docx, pptx or xlsx")
    declared = _declared(filename, media_type)
    if looks_binary(data):
        if declared in _BINARY_FORMATS:
            raise UnreadableDocument("the content does not begin like the format that it claims")
        raise UnsupportedFormat("the content is binary and of no supported format")
    if _HTML_START.match(head):
        return Format.HTML
    if declared is not None and declared not in _BINARY_FORMATS:
        return declared
    return _guess(head)


def lane_of(format_: Format) -> Lane:
    """Return which kind of process may parse `format_`."""
    if format_ is Format.OFFICE:
        return Lane.OFFICE
    return Lane.NATIVE if format_ in (Format.PDF, Format.HTML) else Lane.TEXT


def _declared(filename: str, media_type: str) -> Format | None:
    by_media_type = _MEDIA_TYPES.get(media_type.split(";", 1)[0].strip().lower())
    if by_media_type is not None:
        return by_media_type
    extension = PurePosixPath(filename).suffix.lstrip(".").lower()
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    return Format.CODE if language_of_name(filename) is not None else None


def _guess(head: bytes) -> Format:
    text = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    if language_of_shebang(text) is not None:
        return Format.CODE
    if text[:1] in ("{", "["):
        return _guess_json(text)
    if _RST_HINT.search(text) and ".. " in text:
        return Format.RST
    return Format.MARKDOWN if _MARKDOWN_HINT.search(text) else Format.TEXT


def _guess_json(text: str) -> Format:
    first, _, rest = text.partition("\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return Format.JSON if re.match(r'[\[{]\s*(?:["\[{\]}]|$)', text) else Format.TEXT
    return Format.JSONL if rest.lstrip()[:1] in ("{", "[") else Format.JSON
