"""Chunking by tokens of the embedding model; see `chunker` and, for long text without headings, `semantic`."""

from ingest.chunking.chunker import Chunker
from ingest.chunking.model import Chunk, Chunking, ChunkSettings, ParentSection, contextual_text
from ingest.chunking.tokens import TokenCounter

__all__ = ["Chunk", "ChunkSettings", "Chunker", "Chunking", "ParentSection", "TokenCounter", "contextual_text"]
