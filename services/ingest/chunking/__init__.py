"""Chunking by tokens of the embedding model; `semantic` is for long text without headings."""

from ingest.chunking.chunker import Chunker
from ingest.chunking.context import contextual_text
from ingest.chunking.model import Chunk, ChunkedText, ChunkSettings, ParentSection
from ingest.chunking.tokens import TokenCounter

__all__ = ["Chunk", "ChunkSettings", "ChunkedText", "Chunker", "ParentSection", "TokenCounter", "contextual_text"]
