"""The head check of rows that are no candidates yet, before anything follows from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from chassis.clock import Clock
from corpus.ports import Prefilter
from retriever.reads import CorpusReads
from retriever.stages.head_check import Reader, rejection


@dataclass(frozen=True, slots=True)
class HeadChecks:
    """Asks heads as they are now."""

    reads: CorpusReads
    clock: Clock

    async def shown(self, prefilter: Prefilter, rows: Collection[tuple[str, int]]) -> Collection[tuple[str, int]]:
        """Those of these (document id, chunks_version) that may be shown to whom the prefilter is of. Raises
        DependencyUnavailable HEADS_UNAVAILABLE."""
        heads = await self.reads.heads(prefilter.tenant_id, {document_id for document_id, _ in rows})
        reader = Reader(prefilter.tenant_id, prefilter.access_tokens, prefilter.clearance)
        now = self.clock.now()
        return {each for each in rows if rejection(heads.get(each[0]), each[1], reader, now) is None}
