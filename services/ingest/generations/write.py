"""Making one version of a document searchable in every generation that is kept, before its head is written.

    1  read the plan
    2  active generation    as ever: what fails here is the change's failure
    3  the one beside       within a bounded time; a failure leaves a gap, unless the plan requires it
    4  read the plan again  if it keeps another generation by now, once more from 2 (what is written is written again)

So the rows of the version that a head names are in both, and a promotion or a rollback in the next moment finds them. A
gap is a version that is not sealed in the generation beside; ``KeepGenerations`` fills it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from chassis.errors import DeadlineExceeded, DocumentRejected, HeadwaterError, InvalidRequest
from chassis.telemetry.metrics import INGEST_GENERATION_GAPS
from corpus.domain import Generation
from corpus.generation_plan import Beside
from corpus.ports import ChunkStore
from ingest.domain import DocumentChange, Upsert
from ingest.generation import ActiveGeneration
from ingest.generations.recipes import Recipes
from ingest.index import IndexedDocument

_log = structlog.get_logger()


BESIDE_SECONDS = 20.0
"""For which a live change waits for a generation that nobody searches: a large document's embedding takes a few."""


@dataclass(frozen=True, slots=True)
class IndexInGenerations:
    """Use case of the worker: as ``IndexDocument``, for all generations that are kept."""

    active: ActiveGeneration
    recipes: Recipes
    chunks: ChunkStore
    beside_seconds: float = BESIDE_SECONDS

    async def index(self, event: DocumentChange, upsert: Upsert, generation: Generation) -> IndexedDocument:
        """What was written to the active generation, which may be another one than ``generation`` by now. Raises what
        ``IndexDocument.index`` raises; FailedPrecondition GENERATION_NOT_MADE_HERE."""
        plan = await self.active.plan()
        while True:
            indexed = await (await self.recipes.of(plan.active)).index(event, upsert, plan.active)
            if plan.beside is not None:
                await self._index_beside(event, upsert, plan.beside)
            before, plan = plan, await self.active.plan()
            if plan.written_alike(before):
                return indexed

    async def _index_beside(self, event: DocumentChange, upsert: Upsert, beside: Beside) -> None:
        generation = beside.generation
        try:
            async with asyncio.timeout(self.beside_seconds):
                await (await self.recipes.beside(generation)).index(event, upsert, generation)
                await self.chunks.seal(event.key, event.version, generation.name)
        except (DocumentRejected, InvalidRequest) as error:
            # What the active generation took is served, also where the other model makes no vectors of it. The other
            # one can't be promoted without it.
            INGEST_GENERATION_GAPS.add(reason=error.reason)
            _log.warning("rejected_beside", generation=generation.name, reason=error.reason)
        except (HeadwaterError, TimeoutError) as error:
            failure = error if isinstance(error, HeadwaterError) else _too_slow()
            if beside.required:
                raise failure from error
            INGEST_GENERATION_GAPS.add(reason=failure.reason)
            _log.warning("gap_beside", generation=generation.name, reason=failure.reason)


def _too_slow() -> DeadlineExceeded:
    return DeadlineExceeded("Writing to the generation beside the active one takes too long.", reason="BESIDE_TOO_SLOW")
