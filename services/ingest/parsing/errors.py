"""Why a document cannot be turned into text.

    DocumentRejected (chassis)           the document is bad, not the system: dead letter, never retried as is
    └── ParsingError
        ├── UnreadableDocument           UNREADABLE: damaged, truncated, or not what it claims to be
        ├── EncryptedDocument            ENCRYPTED: needs a password
        ├── EmptyDocument                EMPTY: no bytes, or no text in them
        ├── NoTextLayer                  NO_TEXT_LAYER: pages are images; optical recognition is not done here
        ├── DocumentTooLarge             TOO_LARGE: bytes, pages or uncompressed size over the limit
        ├── OutputTooLarge               OUTPUT_TOO_LARGE: the extracted text is over the limit
        ├── UnsupportedFormat            UNSUPPORTED_FORMAT: no parser for this content
        ├── ParserTimeout                PARSER_TIMEOUT: CPU or wall-clock limit
        ├── ParserMemoryExceeded         PARSER_MEMORY: memory limit
        └── ParserCrashed                PARSER_CRASHED: the parser died or broke its contract
    DependencyUnavailable (chassis)
    └── SandboxUnavailable               the sandbox cannot run: the document is innocent, try again later

Messages carry no document text, file name or path: they travel into dead letters and logs.
"""

from typing import ClassVar

from chassis.errors import DependencyUnavailable, DocumentRejected


class ParsingError(DocumentRejected):
    """This document is bad: parsing it again gives the same answer."""

    default_reason = "UNREADABLE"
    summary: ClassVar[str] = "the document cannot be read: check that it opens in its own program"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.summary)


class UnreadableDocument(ParsingError):
    """The bytes are damaged, truncated, or not of the format that they claim."""


class EncryptedDocument(ParsingError):
    """The document needs a password."""

    default_reason = "ENCRYPTED"
    summary = "the document is encrypted: send a copy without a password"


class EmptyDocument(ParsingError):
    """There are no bytes, or no text in them."""

    default_reason = "EMPTY"
    summary = "the document contains no text"


class NoTextLayer(ParsingError):
    """The pages hold images only."""

    default_reason = "NO_TEXT_LAYER"
    summary = "the pages hold images without text: run optical character recognition first"


class DocumentTooLarge(ParsingError):
    """Bytes, pages or uncompressed size are over the limit."""

    default_reason = "TOO_LARGE"
    summary = "the document is larger than the limit: split it or raise the limit"


class OutputTooLarge(ParsingError):
    """The text that came out is over the limit."""

    default_reason = "OUTPUT_TOO_LARGE"
    summary = "the extracted text is larger than the limit: split the document or raise the limit"


class UnsupportedFormat(ParsingError):
    """No parser is registered for this content."""

    default_reason = "UNSUPPORTED_FORMAT"
    summary = "the format is not supported: convert the document to a supported one"


class ParserTimeout(ParsingError):
    """The parser used up its CPU or wall-clock time."""

    default_reason = "PARSER_TIMEOUT"
    summary = "parsing took longer than its time limit"


class ParserMemoryExceeded(ParsingError):
    """The parser asked for more memory than it may have."""

    default_reason = "PARSER_MEMORY"
    summary = "parsing needed more memory than its limit"


class ParserCrashed(ParsingError):
    """The parser process died, or answered with something that is not a parsed document."""

    default_reason = "PARSER_CRASHED"
    summary = "the parser crashed on this document"


class SandboxUnavailable(DependencyUnavailable):
    """The sandbox cannot start or is closed; says nothing about the document."""

    default_reason = "PARSER_SANDBOX_UNAVAILABLE"


PARSING_ERRORS: dict[str, type[ParsingError]] = {
    error.default_reason: error
    for error in (
        UnreadableDocument,
        EncryptedDocument,
        EmptyDocument,
        NoTextLayer,
        DocumentTooLarge,
        OutputTooLarge,
        UnsupportedFormat,
        ParserTimeout,
        ParserMemoryExceeded,
        ParserCrashed,
    )
}
