"""Parsed documents to chunks that the embedding model can read whole."""

import asyncio

from ingest.chunking.model import ChunkedText, ChunkSettings
from ingest.chunking.semantic import Embed, long_text_sections, topic_shifts
from ingest.chunking.structure import StructureSplitter
from ingest.chunking.tokens import TokenCounter
from ingest.parsing.model import ParsedDocument

# Code points per token of prose, to tell long sections without counting.
_CHARS_PER_TOKEN = 4
# Shorter documents are cut on the event loop: below a millisecond or so a thread costs more than it frees.
_INLINE_CHARS = 1_500


class Chunker:
    """Cuts documents for one generation; deterministic when `embed` is.

    Args:
        counter: Tokenizer and window of the embedding model.
        settings: Sizes.
        embed: Finds topic shifts in long text without headings; without it such text is cut at paragraphs and
            sentences only.
    """

    def __init__(
        self, counter: TokenCounter, settings: ChunkSettings | None = None, embed: Embed | None = None
    ) -> None:
        self.settings = settings or ChunkSettings()
        self._splitter = StructureSplitter(counter, self.settings)
        self._embed = embed
        self._semantic_min_chars = int(self.settings.semantic_min_windows * counter.window * _CHARS_PER_TOKEN)

    async def chunk(self, document: ParsedDocument, title: str | None = None) -> ChunkedText:
        """Return the chunks of `document`, cut off the event loop.

        Args:
            document: What the parser made.
            title: Title to embed instead of the document's own; the same one goes into `contextual_text`.

        Raises whatever `embed` raises.
        """
        title = title or document.title
        if len(document.text) <= _INLINE_CHARS:
            return self._splitter.split(document, title)
        shifts: dict[int, float] = {}
        if self._embed is not None and long_text_sections(document, self._semantic_min_chars):
            shifts = await topic_shifts(document, self._semantic_min_chars, self._embed)
        return await asyncio.to_thread(self._splitter.split, document, title, shifts)
