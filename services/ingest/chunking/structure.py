"""Cutting by structure: headings, paragraphs, sentences, rows and, last of all, words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ingest.chunking.atoms import Atom, atoms_of, split_atom
from ingest.chunking.context import MAX_CONTEXT_UNITS, bounded_context, contextual_text
from ingest.chunking.model import Chunk, ChunkedText, ChunkSettings
from ingest.chunking.packing import Room, pack, weight
from ingest.chunking.parents import parent_sections
from ingest.chunking.spans import SectionLookup, common_path, halves, main_kind, trim
from ingest.chunking.tokens import TokenCounter, TokenLengths
from ingest.parsing.model import ParsedDocument

# Strength 1 makes a topic shift as good a boundary as a heading between siblings.
_SHIFT_JOIN = 0.5
_MIN_BODY_TOKENS = 16


class StructureSplitter:
    """Same document, title and settings give the same chunks. Thread-safe; CPU-bound."""

    def __init__(self, counter: TokenCounter, settings: ChunkSettings) -> None:
        self.settings = settings
        self.lengths = TokenLengths(counter)
        body = self.lengths.window - self.lengths.special_tokens - MAX_CONTEXT_UNITS
        if body < _MIN_BODY_TOKENS or settings.target_tokens > self.lengths.window:
            raise ValueError("the model's window is too small for title, headings and text, or below the target")

    def split(
        self, document: ParsedDocument, title: str | None, shifts: Mapping[int, float] | None = None
    ) -> ChunkedText:
        """Return the chunks of `document`.

        Args:
            document: What the parser made.
            title: Title to embed in front.
            shifts: Topic shifts found in long text, by code-point offset, strength in (0, 1]; see `semantic`.
        """
        whole = self._whole(document, title)
        spans = [whole] if whole is not None else self._spans(document, title, shifts or {})
        chunks = self._chunks(document, title, spans)
        sections, indexes = parent_sections(chunks, self.settings.section_tokens)
        numbered = (
            replace(chunk, ordinal=ordinal, section_index=index)
            for ordinal, (chunk, index) in enumerate(zip(chunks, indexes, strict=True))
        )
        return ChunkedText(tuple(numbered), sections)

    def _whole(self, document: ParsedDocument, title: str | None) -> tuple[int, int] | None:
        """Return the span of the whole document if it fits into one window."""
        # Four code points per token is English; eight per token is more than any prose reaches.
        if len(document.text) > 8 * self.lengths.window:
            return None
        path = common_path([section.heading_path for section in document.sections])
        start, end = trim(document.text, 0, len(document.text))
        embedded = contextual_text(title, path, document.text[start:end])
        fits = self.lengths.length(embedded) + self.lengths.special_tokens <= self.lengths.window
        return (start, end) if fits else None

    def _spans(self, document: ParsedDocument, title: str | None, shifts: Mapping[int, float]) -> list[tuple[int, int]]:
        rooms = self._rooms(document, title)
        fitting: list[Atom] = []
        for atom in self._measured(document.text, list(atoms_of(document.text, document.sections))):
            if weight(atom) <= rooms[atom.section].limit:
                fitting.append(atom)
            else:
                fitting += self._measured(document.text, list(split_atom(document.text, atom)))
        for atom in fitting:
            if strength := shifts.get(atom.start, 0.0):
                atom.cut *= 1.0 - strength
                atom.join += _SHIFT_JOIN * strength
        packed = pack(fitting, [rooms[atom.section] for atom in fitting])
        spans = (trim(document.text, fitting[first].start, fitting[stop - 1].end) for first, stop in packed)
        return [span for span in spans if span[0] < span[1]]

    def _rooms(self, document: ParsedDocument, title: str | None) -> list[Room]:
        """Return, for each section, how long a chunk that begins in it may be next to its context."""
        plain_title = " ".join((title or "").split())
        contexts = [
            bounded_context(plain_title, tuple(label for label in section.heading_path if label != plain_title))
            for section in document.sections
        ]
        distinct = sorted(set(contexts))
        tokens = dict(zip(distinct, self.lengths.lengths(distinct), strict=True))
        return [self._room(tokens[context]) for context in contexts]

    def _room(self, context_tokens: int) -> Room:
        limit = max(1, self.lengths.window - self.lengths.special_tokens - context_tokens)
        # A long context must not shrink the text to a stump: at least half of what is there is wanted.
        target = self.settings.target_tokens - self.lengths.special_tokens - context_tokens
        return Room(min(limit, max(target, limit // 2, 1)), limit)

    def _measured(self, text: str, atoms: list[Atom]) -> list[Atom]:
        lengths = self.lengths.lengths([text[atom.start : atom.end] for atom in atoms])
        for atom, tokens in zip(atoms, lengths, strict=True):
            atom.tokens = tokens
        return atoms

    def _chunks(self, document: ParsedDocument, title: str | None, spans: Sequence[tuple[int, int]]) -> list[Chunk]:
        """Make the chunks with exact token counts; halve the rare one that turns out longer than its atoms."""
        lookup = SectionLookup(document)
        drafts = [_draft(document, lookup, start, end) for start, end in spans]
        embedded = [contextual_text(title, draft.heading_path, draft.text) for draft in drafts]
        chunks: list[Chunk] = []
        for draft, tokens in zip(drafts, self.lengths.lengths(embedded), strict=True):
            total = tokens + self.lengths.special_tokens
            if total <= self.lengths.window:
                chunks.append(replace(draft, token_count=total))
            else:
                chunks += self._chunks(document, title, halves(document.text, draft.start, draft.end))
        return chunks


def _draft(document: ParsedDocument, lookup: SectionLookup, start: int, end: int) -> Chunk:
    sections = lookup.between(start, end)
    return Chunk(
        ordinal=0,
        start=start,
        end=end,
        text=document.text[start:end],
        section_index=0,
        heading_path=common_path([section.heading_path for section in sections]),
        page=sections[0].page,
        token_count=0,
        kind=main_kind(sections, start, end),
    )
