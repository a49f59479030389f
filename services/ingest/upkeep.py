"""What keeps the stores in order, put together: audits, rebuilds, rollbacks, expiry, holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from chassis.clock import Clock
from chassis.errors import HeadwaterError
from chassis.eventlog.port import EventLog
from chassis.lifecycle import Lifecycle
from chassis.objectstore.port import ObjectStore
from chassis.telemetry.metrics import INGEST_EXPIRED
from corpus.engines import CorpusStores
from ingest.accept import AcceptChanges
from ingest.audit.audit import AuditStores
from ingest.audit.examine import ExamineDocuments
from ingest.audit.objects import AuditObjects
from ingest.audit.reconcile import Reconciler
from ingest.audit.repair import RepairStores
from ingest.audit.survey import SurveyStores
from ingest.embedding import EmbedPassages
from ingest.expire import ExpireDocuments
from ingest.generations.recipes import Recipes
from ingest.index import IndexDocument
from ingest.ports import HeadFeed
from ingest.rebuild import RebuildIndexes
from ingest.rebuild_heads import RebuildHeads
from ingest.reviews.decide import DecideReviews
from ingest.reviews.holds import HoldDocuments
from ingest.rows import ChunkRows
from ingest.settings import IngestSettings
from ingest.versions.rollback import RollBackDocuments

_log = structlog.get_logger()

SWEEPS_OF_SLACK = 2
"""Superseded rows are stale for an audit only when the sweeper has had its turn."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The use cases."""

    audits: AuditStores
    indexes: RebuildIndexes
    heads: RebuildHeads
    rollbacks: RollBackDocuments
    expiry: ExpireDocuments
    holds: HoldDocuments
    reviews: DecideReviews

    def can_parse(self, index: IndexDocument, recipes: Recipes | None = None) -> None:
        """From now on what was lost may be made again from documents' bytes. Neither counts as a rejection nor is
        spared by what is known to be bad: these documents were indexed before."""
        quiet = replace(index, known_bad=None, breaker=None)
        self.audits.repair.index = quiet
        self.audits.repair.recipes = recipes
        self.heads.index = quiet
        self.heads.recipes = recipes


def make_upkeep(
    settings: IngestSettings,
    corpus: CorpusStores,
    objects: ObjectStore,
    log: EventLog,
    embed: EmbedPassages,
    accept: AcceptChanges,
    feed: HeadFeed,
    clock: Clock,
) -> Upkeep:
    """The use cases over these stores."""
    rows = ChunkRows(corpus.chunks, corpus.vectors, corpus.lexical, corpus.generations, corpus.pseudonyms)
    repair = RepairStores(corpus.heads, rows, embed, corpus.generations, corpus.tenants, corpus.ledger)
    stale_after = settings.grace_seconds + SWEEPS_OF_SLACK * settings.sweep_every_seconds
    audits = AuditStores(
        tenants=corpus.tenants,
        survey=SurveyStores(
            corpus.heads, corpus.chunks, corpus.vectors, corpus.lexical, corpus.generations, clock, stale_after
        ),
        examine=ExamineDocuments(
            corpus.heads, corpus.ledger, corpus.chunks, corpus.vectors, corpus.lexical, corpus.generations
        ),
        objects=AuditObjects(
            corpus.heads, corpus.chunks, corpus.ledger, corpus.letters, objects, clock, settings.object_safety_seconds
        ),
        repair=repair,
        clock=clock,
    )
    holds = HoldDocuments(corpus.tenants, corpus.heads, feed, accept.versions, clock)
    return Upkeep(
        audits=audits,
        indexes=RebuildIndexes(corpus.tenants, corpus.heads, rows, repair, audits),
        heads=RebuildHeads(
            corpus.tenants, corpus.heads, corpus.chunks, corpus.ledger, corpus.generations, log, feed, audits
        ),
        rollbacks=RollBackDocuments(corpus.heads, corpus.chunks, corpus.ledger, objects, accept),
        expiry=ExpireDocuments(
            corpus.tenants,
            corpus.heads,
            corpus.ledger,
            corpus.letters,
            accept,
            feed,
            clock,
            settings.tombstone_seconds,
        ),
        holds=holds,
        reviews=DecideReviews(corpus.reviews, holds, clock),
    )


def start_upkeep(lifecycle: Lifecycle, settings: IngestSettings, upkeep: Upkeep, is_leader: Callable[[], bool]) -> None:
    """Starts what a worker does in the background."""
    lifecycle.create_task(_expire_for_ever(upkeep.expiry, settings.sweep_every_seconds, is_leader), "expiry")
    if settings.audit_every_seconds:
        reconciler = Reconciler(
            upkeep.audits,
            is_leader,
            settings.audit_every_seconds,
            settings.audit_rows_per_second,
            settings.audit_repairs,
        )
        lifecycle.create_task(reconciler.run(), "reconciler")


async def _expire_for_ever(expiry: ExpireDocuments, every_seconds: float, is_leader: Callable[[], bool]) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        if not is_leader():
            continue
        try:
            done = await expiry.expire()
        except HeadwaterError as error:
            _log.warning("expiry_failed", reason=error.reason)
        else:
            INGEST_EXPIRED.add(done.deleted, outcome="deleted")
            INGEST_EXPIRED.add(done.forgotten, outcome="forgotten")
