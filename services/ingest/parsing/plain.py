"""Plain text: paragraphs, no structure."""

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.source import Source


def parse_plain(source: Source, build: DocumentBuilder) -> None:
    """Append the text as one section: plain text promises no structure, and guessing it wrong cuts paragraphs."""
    build.append(source.text)
