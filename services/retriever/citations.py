"""The use case behind citation links: the passages of citations, for a caller who may read them now."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.clock import Clock
from chassis.errors import InvalidRequest
from chassis.identity import Caller, Scope
from corpus.access import access_fingerprint
from corpus.ports import StoredChunk
from retriever.catalogue import Catalogue
from retriever.domain import MAX_CITATIONS, CitationKey, Resolution, ResolvedCitation
from retriever.reads import CorpusReads
from retriever.stages.head_check import rejection
from retriever.stages.understand import reader_of


class ResolveCitations:
    """Resolves citations to text. Whatever the reason a passage may not be shown, the answer looks the same."""

    def __init__(self, catalogue: Catalogue, reads: CorpusReads, clock: Clock) -> None:
        self._catalogue = catalogue
        self._reads = reads
        self._clock = clock

    async def resolve(self, caller: Caller, keys: Sequence[CitationKey]) -> Sequence[ResolvedCitation]:
        """The citations of ``resolution``."""
        return (await self.resolution(caller, keys)).citations

    async def resolution(self, caller: Caller, keys: Sequence[CitationKey]) -> Resolution:
        """One answer per key, in their order. Heads are read last.

        Raises:
            InvalidRequest: TOO_MANY_CITATIONS.
            NotFound: UNKNOWN_TENANT.
            DependencyUnavailable: Heads or chunks can't be read.
        """
        caller.require(Scope.READ)
        if len(keys) > MAX_CITATIONS:
            raise InvalidRequest(f"At most {MAX_CITATIONS} citations at once.", reason="TOO_MANY_CITATIONS")
        reader = reader_of(caller, await self._catalogue.tenant(caller.tenant_id))
        generation = await self._catalogue.generation()
        # Both reads are made for every key, whether its passage exists or not, so that timing tells nothing either.
        stored = await self._reads.chunks(reader.tenant_id, {key.chunk_id for key in keys})
        heads = await self._reads.heads(reader.tenant_id, {key.document_id for key in keys})
        now = self._clock.now()
        resolved = []
        for key in keys:
            found = stored.get(key.chunk_id)
            shown = None
            if found is not None and _names(key, found):
                head = heads.get(key.document_id)
                cause = rejection(head, key.chunks_version, reader, now)
                shown = found if cause is None else None
            resolved.append(ResolvedCitation(key, shown))
        fingerprint = access_fingerprint(reader.access_tokens, reader.clearance)
        return Resolution(tuple(resolved), fingerprint, generation.name if generation is not None else "")


def _names(key: CitationKey, stored: StoredChunk) -> bool:
    chunk = stored.chunk
    return chunk.key.document_id == key.document_id and chunk.chunks_version == key.chunks_version
