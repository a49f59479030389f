"""Expansion: a chunk's section, where it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from corpus.domain import Section
from corpus.ports import StoredChunk
from retriever.reads import CorpusReads, section_key


async def expand(reads: CorpusReads, tenant_id: str, chunks: Iterable[StoredChunk]) -> Mapping[str, Section]:
    """Sections by chunk id, read once for all chunks; chunks whose section is not stored are left out."""
    wanted = list(chunks)
    sections = await reads.sections(tenant_id, wanted)
    return {
        stored.chunk.chunk_id: section
        for stored in wanted
        if (section := sections.get(section_key(stored))) is not None
    }
