"""Parsed documents to chunks that the embedding model can read whole."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ingest.chunking.atoms import Atom, atoms_of, split_atom
from ingest.chunking.context import ContextBuilder
from ingest.chunking.model import Chunk, Chunking, ChunkSettings, contextual_text
from ingest.chunking.packing import Room, pack, weight
from ingest.chunking.parents import parent_sections
from ingest.chunking.spans import SectionLookup, common_path, halves, main_kind, trim
from ingest.chunking.tokens import TokenCounter, TokenLengths
from ingest.parsing.model import ParsedDocument

# Strength 1 makes a topic shift as good a boundary as a heading between siblings.
_SHIFT_JOIN = 0.5


class Chunker:
    """Cuts documents at headings, paragraphs, sentences, rows and, last of all, words.

    One instance serves one generation: same document, title and settings give the same chunks. Thread-safe; all
    calls are CPU-bound and belong off the event loop.
    """

    def __init__(self, counter: TokenCounter, settings: ChunkSettings | None = None) -> None:
        self.settings = settings or ChunkSettings()
        self.lengths = TokenLengths(counter)
        body = self.lengths.window - self.lengths.special_tokens - self.settings.context_tokens
        if body < 16 or self.settings.target_tokens > self.lengths.window:
            raise ValueError("the window leaves no room for text: lower target_tokens or context_tokens")

    def chunk(
        self, document: ParsedDocument, *, title: str | None = None, shifts: Mapping[int, float] | None = None
    ) -> Chunking:
        """Return the chunks of `document`.

        Args:
            document: What the parser made.
            title: Title to embed instead of the document's own.
            shifts: Topic shifts found in long text, by code-point offset, strength in (0, 1]; see `semantic`.
        """
        context = ContextBuilder(title or document.title, self.lengths, self.settings.context_tokens)
        whole = self._whole(document, context)
        spans = [whole] if whole is not None else self._spans(document, context, shifts or {})
        chunks = self._chunks(document, context, spans)
        sections, indexes = parent_sections(chunks, self.settings.section_tokens)
        numbered = (
            replace(chunk, ordinal=ordinal, section_index=index)
            for ordinal, (chunk, index) in enumerate(zip(chunks, indexes, strict=True))
        )
        return Chunking(tuple(numbered), sections)

    def room(self, context_tokens: int) -> Room:
        """Return how long the text of a chunk may be next to a context of this many tokens."""
        taken = context_tokens + self.lengths.special_tokens
        return Room(max(8, self.settings.target_tokens - taken), self.lengths.window - taken)

    def _whole(self, document: ParsedDocument, context: ContextBuilder) -> tuple[int, int] | None:
        """Return the span of the whole document if it fits into one window."""
        # Four code points per token is English; eight per token is more than any real text reaches.
        if len(document.text) > 8 * self.lengths.window:
            return None
        path = common_path([section.heading_path for section in document.sections])
        text = document.text.strip()
        embedded = contextual_text(context.build(path, text), text)
        if self.lengths.length(embedded) + self.lengths.special_tokens > self.lengths.window:
            return None
        return trim(document.text, 0, len(document.text))

    def _spans(
        self, document: ParsedDocument, context: ContextBuilder, shifts: Mapping[int, float]
    ) -> list[tuple[int, int]]:
        rooms = [self.room(context.most_tokens(section.heading_path)) for section in document.sections]
        atoms = self._measured(document.text, list(atoms_of(document.text, document.sections)))
        fitting: list[Atom] = []
        for atom in atoms:
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

    def _measured(self, text: str, atoms: list[Atom]) -> list[Atom]:
        lengths = self.lengths.lengths([text[atom.start : atom.end] for atom in atoms])
        for atom, tokens in zip(atoms, lengths, strict=True):
            atom.tokens = tokens
        return atoms

    def _chunks(
        self, document: ParsedDocument, context: ContextBuilder, spans: Sequence[tuple[int, int]]
    ) -> list[Chunk]:
        """Make the chunks with exact token counts; halve the rare one that turns out longer than its atoms."""
        lookup = SectionLookup(document)
        drafts = [_draft(document, lookup, context, start, end) for start, end in spans]
        embedded = [contextual_text(draft.context, draft.text) for draft in drafts]
        chunks: list[Chunk] = []
        for draft, tokens in zip(drafts, self.lengths.lengths(embedded), strict=True):
            total = tokens + self.lengths.special_tokens
            if total <= self.lengths.window:
                chunks.append(replace(draft, token_count=total))
            else:
                chunks += self._chunks(document, context, halves(document.text, draft.start, draft.end))
        return chunks


def _draft(document: ParsedDocument, lookup: SectionLookup, context: ContextBuilder, start: int, end: int) -> Chunk:
    sections = lookup.between(start, end)
    path = common_path([section.heading_path for section in sections])
    text = document.text[start:end]
    return Chunk(
        ordinal=0,
        start=start,
        end=end,
        text=text,
        section_index=0,
        heading_path=path,
        page=sections[0].page,
        token_count=0,
        kind=main_kind(sections, start, end),
        context=context.build(path, text),
    )
