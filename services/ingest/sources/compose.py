"""Sources of a running service, put together."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.errors import HeadwaterError
from chassis.eventlog.port import Consumer, EventLog
from chassis.lifecycle import Lifecycle
from chassis.objectstore.obstore import open_s3
from chassis.telemetry.metrics import INGEST_LAG
from corpus.engines import CorpusStores
from ingest.accept import AcceptChanges
from ingest.adapters.source_buckets import BucketsByName
from ingest.codec import SOURCES_TOPIC
from ingest.consumer import ChangeConsumer
from ingest.ports import DeadLetters
from ingest.refusals import sources_breaker
from ingest.settings import IngestSettings
from ingest.sources.handle import HandleSourceRecord
from ingest.sources.mapping import S3Mapping, Sources

SOURCES_GROUP: Final = "headwater-ingest-sources"
_LAG_SECONDS: Final = 5.0
_log = structlog.get_logger()


def start_sources(
    lifecycle: Lifecycle,
    settings: IngestSettings,
    sources: Sources,
    corpus: CorpusStores,
    log: EventLog,
    accept: AcceptChanges,
    letters: DeadLetters,
    clock: Clock,
) -> None:
    """Starts what takes the records of other systems. It accepts them and needs neither parsers nor the embedder."""
    buckets = {name: each for name, each in sources.sources.items() if isinstance(each, S3Mapping)}
    handler = HandleSourceRecord(
        sources,
        corpus.tenants,
        corpus.ledger,
        accept,
        BucketsByName({name: open_s3(mapping.whole_bucket) for name, mapping in buckets.items()}),
        letters,
        clock,
        sources_breaker(lifecycle, corpus, clock),
    )
    consumer = log.consumer(SOURCES_TOPIC, SOURCES_GROUP)
    lane = ChangeConsumer(consumer, handler, settings.max_documents_in_flight, lane="sources")
    worker = lifecycle.create_task(lane.run(), "worker-sources")
    lifecycle.create_task(_report_lag_for_ever(consumer), "report-lag-of-sources")

    async def stop() -> None:
        await lane.drain((lifecycle.seconds_left() or 0.0) / 2)
        worker.cancel()
        await asyncio.wait({worker})

    lifecycle.stack.push_async_callback(stop)


async def _report_lag_for_ever(consumer: Consumer) -> None:
    while True:
        try:
            INGEST_LAG.set(sum((await consumer.lag()).values()), lane="sources")
        except HeadwaterError as error:
            _log.warning("lag_unknown", reason=error.reason)
        await asyncio.sleep(_LAG_SECONDS)
