"""The parts of the ingest service that deal with what it refuses, put together for its composition root."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import timedelta
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.errors import HeadwaterError
from chassis.eventlog.port import Producer
from chassis.lifecycle import Lifecycle
from chassis.objectstore.port import ObjectStore
from chassis.telemetry.metrics import INGEST_DEAD_LETTERS_OPEN, INGEST_HALTED
from corpus.dead_letters import OF_SOURCES, Halt, LetterFilter, LetterState
from corpus.engines import CorpusStores
from ingest.ageing import AgeOut
from ingest.canary import Canary
from ingest.dead_letters.decide import DecideDeadLetters
from ingest.known_bad import KnownBadFiles, parsers_version
from ingest.open_changes import LookAtOpenChanges
from ingest.parsing.limits import ParseLimits
from ingest.rejections import RejectionBreaker
from ingest.settings import IngestSettings

_COUNT_SECONDS: Final = 30.0
_RECONSIDER_SECONDS: Final = 11.0
"""Longer than waiting documents take to be tried again: these are the better probe."""
_log = structlog.get_logger()


def decisions(corpus: CorpusStores, objects: ObjectStore, producer: Producer, clock: Clock) -> DecideDeadLetters:
    """What operators do about dead letters."""
    return DecideDeadLetters(
        letters=corpus.letters,
        known_bad=corpus.known_bad,
        halts=corpus.halts,
        tenants=corpus.tenants,
        heads=corpus.heads,
        ledger=corpus.ledger,
        objects=objects,
        log=producer,
        clock=clock,
    )


def open_changes(corpus: CorpusStores, clock: Clock) -> LookAtOpenChanges:
    """What has no end yet."""
    return LookAtOpenChanges(corpus.ledger, corpus.halts, corpus.letters, clock, corpus.tenants)


def known_bad_files(corpus: CorpusStores, limits: ParseLimits, max_chunks: int, clock: Clock) -> KnownBadFiles:
    """What need not be parsed again."""
    return KnownBadFiles(corpus.known_bad, clock, parsers_version(limits, max_chunks))


def rejection_breaker(lifecycle: Lifecycle, canary: Canary, corpus: CorpusStores, clock: Clock) -> RejectionBreaker:
    """What halts a worker that refuses everything; the service's readiness says so."""
    return _breaker(lifecycle, RejectionBreaker(canary, corpus.halts, clock, _worker()), "ingestion")


def sources_breaker(lifecycle: Lifecycle, corpus: CorpusStores, clock: Clock) -> RejectionBreaker:
    """What halts the consumer of sources when it refuses what comes: a wrong mapping shall not drain the topic."""
    breaker = RejectionBreaker(None, corpus.halts, clock, _worker() + OF_SOURCES, part="sources")
    return _breaker(lifecycle, breaker, "the consumer of sources")


def _breaker(lifecycle: Lifecycle, breaker: RejectionBreaker, name: str) -> RejectionBreaker:
    async def tell(halt: Halt | None) -> None:
        why = f"{name} is halted since {halt.since.isoformat()}: {halt.reason}" if halt else ""
        await lifecycle.impair(name, why)

    breaker.on_change = tell
    INGEST_HALTED.set(0, part=breaker.part)
    lifecycle.stack.push_async_callback(breaker.leave)
    lifecycle.create_task(_reconsider_for_ever(breaker), f"reconsider-halts-of-{breaker.part}")
    return breaker


def _worker() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"


def start_ageing(
    lifecycle: Lifecycle, settings: IngestSettings, corpus: CorpusStores, objects: ObjectStore, clock: Clock
) -> None:
    """Starts what forgets old rows, and counts open letters."""
    age = AgeOut(
        tenants=corpus.tenants,
        ledger=corpus.ledger,
        letters=corpus.letters,
        known_bad=corpus.known_bad,
        halts=corpus.halts,
        objects=objects,
        clock=clock,
        retention=timedelta(days=settings.ledger_retention_days),
    )
    lifecycle.create_task(_age_for_ever(age, settings.sweep_every_seconds), "ageing")
    lifecycle.create_task(_count_for_ever(corpus), "count-dead-letters")


async def _reconsider_for_ever(breaker: RejectionBreaker) -> None:
    while True:
        await asyncio.sleep(_RECONSIDER_SECONDS)
        try:
            await breaker.reconsider()
        except HeadwaterError as error:
            _log.warning("halt_not_reconsidered", reason=error.reason)


async def _age_for_ever(age: AgeOut, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        try:
            forgotten = await age.run()
        except HeadwaterError as error:
            _log.warning("ageing_failed", reason=error.reason)
        else:
            _log.info("aged", changes=forgotten.changes, letters=forgotten.letters, known_bad_files=forgotten.known_bad)


async def _count_for_ever(corpus: CorpusStores) -> None:
    while True:
        try:
            INGEST_DEAD_LETTERS_OPEN.set(await corpus.letters.count(LetterFilter(state=LetterState.OPEN)))
        except HeadwaterError as error:
            _log.warning("dead_letters_not_counted", reason=error.reason)
        await asyncio.sleep(_COUNT_SECONDS)
