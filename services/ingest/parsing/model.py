"""What a parser makes of a document: one canonical text, and spans over it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

MetadataScalar = str | int | float | bool | datetime
MetadataValue = MetadataScalar | tuple[MetadataScalar, ...]


class SectionKind(StrEnum):
    """What a section holds; tables and code are cut at rows and lines, never at sentences."""

    TEXT = "text"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Section:
    """A span of the canonical text under one heading path.

    Attributes:
        heading_path: Headings from the outermost to the one that opens this section; empty before the first.
        start: First code point, inclusive.
        end: Last code point, exclusive.
        page: One-based page, slide or sheet number where the format has them.
        kind: Text, table or code.
    """

    heading_path: tuple[str, ...]
    start: int
    end: int
    page: int | None = None
    kind: SectionKind = SectionKind.TEXT


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """The one text of a document, its sections and what the document says about itself.

    The text is normalised once (see `ingest.parsing.normalise`) and never again: every later span is in code
    points of exactly this string. Sections are in order and tile it: the first starts at 0, each starts where
    the one before ends, the last ends at `len(text)`. A heading belongs to the section that it opens.

    Attributes:
        text: Canonical text.
        title: The document's own title, if it has one.
        language: BCP 47 primary tag (`en`), or `und` when nobody knows.
        metadata: Front matter, header fields or document properties, with real types; datetimes are aware.
        sections: Tiling spans.
        format: Name of the format that was parsed (`markdown`, `pdf`, …).
        warnings: Stable identifiers of what was repaired or guessed.
    """

    text: str
    title: str | None
    language: str
    metadata: Mapping[str, MetadataValue]
    sections: tuple[Section, ...]
    format: str
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Raise ValueError unless the sections tile the text."""
        position = 0
        for section in self.sections:
            if section.start != position or section.end <= section.start:
                raise ValueError("sections must tile the text in order")
            position = section.end
        if position != len(self.text):
            raise ValueError("sections must cover the whole text")
