"""Reads of heads, chunks and sections: on deadlines, behind breakers, and closed when heads can't be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from chassis.errors import DependencyUnavailable, HeadwaterError
from corpus.domain import Section, ServedHead
from corpus.ports import ChunkStore, HeadReads, StoredChunk
from retriever.stages.guard import Guard, caller_out_of_time

SectionKey = tuple[str, int, str, int]
T = TypeVar("T")

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ReadDeadlines:
    """Seconds per call."""

    heads: float = 1.0
    chunks: float = 1.0


class CorpusReads:
    """What a search reads besides the indexes. Everything here either succeeds or ends the search."""

    def __init__(self, heads: HeadReads, chunks: ChunkStore, deadlines: ReadDeadlines) -> None:
        self._heads = heads
        self._chunks = chunks
        self._heads_guard = Guard("heads", deadlines.heads)
        self._chunks_guard = Guard("chunk-store", deadlines.chunks)

    async def heads(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, ServedHead]:
        """Heads as of now. Raises DependencyUnavailable HEADS_UNAVAILABLE: without heads nothing is served."""
        if not document_ids:
            return {}
        return await _or_unavailable(
            self._heads_guard, lambda: self._heads.get_many(tenant_id, document_ids), "HEADS_UNAVAILABLE"
        )

    async def chunks(self, tenant_id: str, chunk_ids: Collection[str]) -> Mapping[str, StoredChunk]:
        """Payloads by chunk id. Raises DependencyUnavailable CHUNKS_UNAVAILABLE."""
        if not chunk_ids:
            return {}
        return await _or_unavailable(
            self._chunks_guard, lambda: self._chunks.get_chunks(tenant_id, chunk_ids), "CHUNKS_UNAVAILABLE"
        )

    async def sections(self, tenant_id: str, chunks: Iterable[StoredChunk]) -> Mapping[SectionKey, Section]:
        """Sections of the chunks, by ``section_key``. Raises DependencyUnavailable CHUNKS_UNAVAILABLE."""
        wanted = {section_key(stored) for stored in chunks}
        if not wanted:
            return {}
        return await _or_unavailable(
            self._chunks_guard, lambda: self._chunks.get_sections(tenant_id, wanted), "CHUNKS_UNAVAILABLE"
        )


def section_key(stored: StoredChunk) -> SectionKey:
    """What names a chunk's section in the chunk store."""
    chunk = stored.chunk
    return (chunk.key.document_id, chunk.chunks_version, chunk.generation, chunk.section_ordinal)


async def _or_unavailable(guard: Guard, call: Callable[[], Awaitable[T]], reason: str) -> T:
    try:
        return await guard.run(call)
    except HeadwaterError as error:
        if caller_out_of_time():
            raise
        raise DependencyUnavailable(
            "What may be shown can't be read now, so nothing is: retry later.",
            reason=reason,
            metadata={"cause": error.reason},
            retry_after_seconds=error.retry_after_seconds or _RETRY_SECONDS,
        ) from error
