"""Chunks, the sections that they expand to, and how big both may be."""

from dataclasses import dataclass

from ingest.parsing.model import SectionKind


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """Sizes in tokens of the embedding model.

    Attributes:
        target_tokens: Wanted size of a chunk as it is embedded, title, headings and special tokens included. A
            document that fits into the model's window as a whole is never split, whatever the target.
        section_tokens: Most that a parent section may hold.
        semantic_min_windows: A text section longer than this many windows is cut at topic shifts when an embedder
            is given: below it, about the size of a parent section, paragraphs are boundaries enough, and embedding
            every sentence has its price (at 3 windows, 40 % more tokens for a quarterly report).
    """

    target_tokens: int = 200
    section_tokens: int = 1_500
    semantic_min_windows: float = 6.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage: `document.text[start:end] == text`, without white space at either end.

    Attributes:
        ordinal: Position in the document from 0; ids are derived from it.
        start: First code point, inclusive.
        end: Last code point, exclusive.
        text: The passage.
        section_index: Index into `ChunkedText.sections`.
        heading_path: Headings that hold for all of the chunk, outermost first.
        page: Page on which the chunk begins, if there are pages.
        token_count: Tokens of `contextual_text(title, heading_path, text)`, special tokens included; never over
            the window.
        kind: What most of the chunk is.
    """

    ordinal: int
    start: int
    end: int
    text: str
    section_index: int
    heading_path: tuple[str, ...]
    page: int | None
    token_count: int
    kind: SectionKind


@dataclass(frozen=True, slots=True)
class ParentSection:
    """What a chunk expands to: neighbouring chunks under one heading, `document.text[start:end]`.

    Attributes:
        heading_path: Headings that hold for all of it.
        start: First code point, inclusive.
        end: Last code point, exclusive.
        page: Page on which it begins, if there are pages.
    """

    heading_path: tuple[str, ...]
    start: int
    end: int
    page: int | None


@dataclass(frozen=True, slots=True)
class ChunkedText:
    """All chunks of one document in order, and their parents in order."""

    chunks: tuple[Chunk, ...]
    sections: tuple[ParentSection, ...]
