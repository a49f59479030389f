"""Composition root of the ingest service: settings → adapters → use cases → edges → run until a signal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from chassis.clock import Clock, HybridLogicalClock, SystemClock
from chassis.errors import HeadwaterError
from chassis.eventlog.port import EventLog, Partition, Producer
from chassis.lifecycle import Lifecycle
from chassis.objectstore.port import ObjectStore
from chassis.rpc.server import GrpcServer
from chassis.telemetry.metrics import INGEST_LAG
from chassis.tokens import InternalTokenVerifier, jwks_file
from corpus.engines import CorpusStores, open_engines
from corpus.ports import EmbeddingCache
from headwater.ingest.v1 import (
    dead_letters_pb2_grpc,
    generations_pb2_grpc,
    ingest_pb2_grpc,
    privacy_pb2_grpc,
    reviews_pb2_grpc,
    stores_pb2_grpc,
    versions_pb2_grpc,
)
from ingest.accept import AcceptChanges
from ingest.adapters.event_log import TOPIC_OF, EventLogChangeLog, EventLogDeadLetters, EventLogHeadFeed
from ingest.adapters.kept_dead_letters import KeptDeadLetters
from ingest.adapters.sandbox import SandboxedParser
from ingest.apply import ApplyChange
from ingest.audit.servicer import StoreServicer
from ingest.canary import Canary
from ingest.chunking import Chunker, ChunkSettings
from ingest.consumer import ChangeConsumer
from ingest.dead_letters.decide import SettleReplays
from ingest.dead_letters.servicer import DeadLetterServicer
from ingest.domain import Lane
from ingest.embedding import EmbedPassages
from ingest.generation import ActiveGeneration
from ingest.generations.compose import (
    Embedders,
    keep_generations,
    manage_generations,
    open_embedders,
    open_targets,
)
from ingest.generations.recipes import Recipes
from ingest.generations.servicer import GenerationServicer
from ingest.generations.write import IndexInGenerations
from ingest.handle import HandleRecord
from ingest.index import IndexDocument
from ingest.known_bad import KnownBadFiles
from ingest.parsing.limits import ParseLimits
from ingest.ports import ChangeLog
from ingest.refusals import (
    decisions,
    known_bad_files,
    open_changes,
    rejection_breaker,
    start_ageing,
)
from ingest.rejections import RejectionBreaker
from ingest.reviews.holds import HoldDocuments
from ingest.reviews.raising import RaiseReviews
from ingest.reviews.servicer import ReviewServicer
from ingest.rows import ChunkRows
from ingest.sandbox import ParserPool
from ingest.service import LookAtDocuments, ManageTenants
from ingest.servicer import IngestServicer
from ingest.settings import IngestSettings
from ingest.sources.compose import start_sources
from ingest.sweep import Sweeper
from ingest.topics import topics
from ingest.upkeep import Upkeep, make_upkeep, start_upkeep
from ingest.vault.compose import privacy_servicer, vault_of
from ingest.versions.servicer import VersionServicer

FIRST_PARTITION = Partition(TOPIC_OF[Lane.LIVE], 0)
"""Whichever worker has it audits, for all of them."""
WORKERS = "headwater-ingest-workers"
"""Consumer group of the workers."""
SERVICES = (
    "headwater.ingest.v1.IngestService",
    "headwater.ingest.v1.DeadLetterService",
    "headwater.ingest.v1.StoreService",
    "headwater.ingest.v1.VersionService",
    "headwater.ingest.v1.GenerationService",
    "headwater.ingest.v1.PrivacyService",
    "headwater.ingest.v1.ReviewService",
)
LAG_SECONDS = 5.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is written."""

    corpus: CorpusStores
    embeddings: EmbeddingCache
    objects: ObjectStore
    log: EventLog
    heads_are_replicated: bool

    def head_feed(self, producer: Producer, clock: Clock) -> EventLogHeadFeed:
        """Tells readers of heads that change."""
        return EventLogHeadFeed(producer, clock, has_replicas=self.heads_are_replicated)

    def dead_letters(self, producer: Producer, clock: Clock) -> KeptDeadLetters:
        """Where events end that can't be applied."""
        return KeptDeadLetters(self.corpus.letters, self.objects, EventLogDeadLetters(producer, clock), clock)


async def serve(lifecycle: Lifecycle, settings: IngestSettings) -> None:
    """Runs the roles the settings name until a signal comes."""
    clock = SystemClock()
    stores = await _open_stores(lifecycle, settings)
    change_log = EventLogChangeLog(
        stores.log.producer(), {lane: stores.log.consumer(topic, WORKERS) for lane, topic in TOPIC_OF.items()}
    )
    verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), {"gateway"})
    server = await lifecycle.stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
    embedders = await open_embedders(lifecycle, settings)
    upkeep = await _open_upkeep(lifecycle, settings, stores, change_log, embedders, clock)
    if settings.role in ("api", "all"):
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(_servicer(settings, stores, change_log, clock), server.grpc)
        decide = decisions(stores.corpus, stores.objects, stores.log.producer(), clock)
        dead_letters_pb2_grpc.add_DeadLetterServiceServicer_to_server(DeadLetterServicer(decide), server.grpc)
        stores_servicer = StoreServicer(upkeep, stores.corpus.tenants)
        stores_pb2_grpc.add_StoreServiceServicer_to_server(stores_servicer, server.grpc)
        versions_pb2_grpc.add_VersionServiceServicer_to_server(VersionServicer(upkeep.rollbacks), server.grpc)
        reviews_pb2_grpc.add_ReviewServiceServicer_to_server(ReviewServicer(upkeep.holds, upkeep.reviews), server.grpc)
        operate = manage_generations(settings, stores.corpus, embedders, clock)
        generations_pb2_grpc.add_GenerationServiceServicer_to_server(GenerationServicer(operate), server.grpc)
        servicer = privacy_servicer(settings, stores.corpus, clock)
        privacy_pb2_grpc.add_PrivacyServiceServicer_to_server(servicer, server.grpc)
    await server.start(*SERVICES)
    if settings.role in ("worker", "all"):
        await _start_worker(lifecycle, settings, stores, change_log, clock, upkeep, embedders)
        if (sources := settings.mappings()) is not None:
            accept = _accept(settings, stores, change_log, clock)
            letters = stores.dead_letters(stores.log.producer(), clock)
            start_sources(lifecycle, settings, sources, stores.corpus, stores.log, accept, letters, clock)
    lifecycle.create_task(_report_lag(change_log), "report-lag")
    await lifecycle.serve_until_signal()


async def _open_stores(lifecycle: Lifecycle, settings: IngestSettings) -> Stores:
    engines = open_engines(lifecycle, settings)
    await engines.prepare(topics(settings.partitions))
    return Stores(
        corpus=await engines.stores(writable=True),
        embeddings=engines.embedding_cache(),
        objects=engines.objects(),
        log=engines.event_log(),
        heads_are_replicated=engines.heads_are_replicated,
    )


def _accept(settings: IngestSettings, stores: Stores, change_log: EventLogChangeLog, clock: Clock) -> AcceptChanges:
    return AcceptChanges(
        stores.corpus.tenants,
        stores.corpus.ledger,
        stores.objects,
        change_log,
        clock,
        HybridLogicalClock(clock),
        settings.max_document_bytes,
    )


def _servicer(settings: IngestSettings, stores: Stores, change_log: EventLogChangeLog, clock: Clock) -> IngestServicer:
    corpus = stores.corpus
    accept = _accept(settings, stores, change_log, clock)
    look = LookAtDocuments(corpus.tenants, corpus.heads, corpus.ledger, corpus.generations, change_log, clock)
    manage = ManageTenants(
        corpus.tenants,
        corpus.heads,
        corpus.ledger,
        corpus.chunks,
        corpus.vectors,
        corpus.lexical,
        stores.objects,
        stores.head_feed(stores.log.producer(), clock),
        clock,
        corpus.letters,
        corpus.known_bad,
        corpus.pseudonyms,
        corpus.reviews,
    )
    return IngestServicer(accept, look, open_changes(corpus, clock), manage, corpus.tenants)


async def _open_upkeep(
    lifecycle: Lifecycle,
    settings: IngestSettings,
    stores: Stores,
    change_log: EventLogChangeLog,
    embedders: Embedders,
    clock: Clock,
) -> Upkeep:
    """Has a queue of its own, so that what is made again does not wait in one with live changes."""
    embed = await lifecycle.stack.enter_async_context(EmbedPassages(embedders.by_model(), stores.embeddings))
    accept = _accept(settings, stores, change_log, clock)
    feed = stores.head_feed(stores.log.producer(), clock)
    return make_upkeep(settings, stores.corpus, stores.objects, stores.log, embed, accept, feed, clock)


@dataclass(frozen=True, slots=True)
class Indexing:
    """What makes a worker's documents searchable."""

    pool: ParserPool
    generation: ActiveGeneration
    rows: ChunkRows
    known_bad: KnownBadFiles
    breaker: RejectionBreaker
    index: IndexDocument
    recipes: Recipes


async def _open_indexing(
    lifecycle: Lifecycle, settings: IngestSettings, stores: Stores, embedders: Embedders, clock: Clock
) -> Indexing:
    corpus = stores.corpus
    limits = ParseLimits(
        max_input_bytes=settings.max_document_bytes,
        wall_seconds=settings.parse_timeout_seconds,
        memory_bytes=settings.parse_memory_bytes,
    )
    pool = ParserPool(settings.parser_processes, limits)
    lifecycle.stack.push_async_callback(pool.aclose)
    targets = await open_targets(lifecycle, settings, embedders, stores.embeddings)
    embed = targets[0].embed
    generation = ActiveGeneration(corpus.generations, embedders.first, settings.chunk_target_tokens)
    vault = vault_of(settings, corpus)
    rows = ChunkRows(corpus.chunks, corpus.vectors, corpus.lexical, corpus.generations, corpus.pseudonyms, vault)
    parser = SandboxedParser(pool)
    sizes = ChunkSettings(target_tokens=settings.chunk_target_tokens)
    chunker = Chunker(targets[0].tokens, sizes, embed.topic_vectors)
    known_bad = known_bad_files(corpus, limits, settings.max_chunks_per_document, clock)
    breaker = rejection_breaker(lifecycle, Canary(parser, chunker, embedders.by_model(), generation), corpus, clock)
    index = IndexDocument(
        objects=stores.objects,
        parser=parser,
        chunker=chunker,
        embed=embed,
        tenants=corpus.tenants,
        rows=rows,
        max_chunks_per_document=settings.max_chunks_per_document,
        known_bad=known_bad,
        breaker=breaker,
        privacy=settings.privacy_policy(),
        review=settings.review_policy(),
    )
    return Indexing(pool, generation, rows, known_bad, breaker, index, Recipes(index, targets))


def _handler(stores: Stores, indexing: Indexing, holds: HoldDocuments, clock: Clock) -> HandleRecord:
    corpus, producer = stores.corpus, stores.log.producer()
    apply = ApplyChange(
        tenants=corpus.tenants,
        heads=corpus.heads,
        rows=indexing.rows,
        index=IndexInGenerations(indexing.generation, indexing.recipes, corpus.chunks),
        feed=stores.head_feed(producer, clock),
        generations=indexing.generation,
        clock=clock,
        reviews=RaiseReviews(corpus.reviews, holds, indexing.index.review, clock),
    )
    return HandleRecord(
        corpus.tenants,
        corpus.ledger,
        apply,
        stores.dead_letters(producer, clock),
        clock,
        doubts=indexing.breaker,
        known_bad=indexing.known_bad,
        replays=SettleReplays(corpus.letters),
    )


async def _start_worker(
    lifecycle: Lifecycle,
    settings: IngestSettings,
    stores: Stores,
    change_log: EventLogChangeLog,
    clock: Clock,
    upkeep: Upkeep,
    embedders: Embedders,
) -> None:
    """Starts what applies changes; it waits for the embedder and the parsers by itself, so that the API can accept at
    once."""
    corpus = stores.corpus
    made = await _open_indexing(lifecycle, settings, stores, embedders, clock)
    keeper = await keep_generations(
        lifecycle, settings, corpus, stores.embeddings, embedders, made.index, made.rows, clock
    )
    lanes = _lanes(settings, stores.log, _handler(stores, made, upkeep.holds, clock), change_log)
    settled = asyncio.Event()

    async def settle() -> None:
        active = await made.generation.settle()
        # Fails here, and not at every change, when the generation that was promoted can't be made.
        await made.recipes.ready(active)
        settled.set()
        # The parsers' imports take seconds of a core, which the embedder needed more until now. Deletes and changes of
        # access don't wait for them.
        lifecycle.create_task(_start_parsers(made.pool), "start-parsers")
        lifecycle.create_task(keeper.run(), "keep-generations")

    async def work(lane: ChangeConsumer) -> None:
        await settled.wait()
        await lane.run()

    lifecycle.create_task(settle(), "settle-generation")
    workers = [lifecycle.create_task(work(lane), f"worker-{lane.lane}") for lane in lanes]
    sweeper = Sweeper(
        corpus.tenants, corpus.heads, corpus.ledger, made.rows, clock, settings.grace_seconds, corpus.generations
    )
    lifecycle.create_task(_sweep_for_ever(sweeper, settings.sweep_every_seconds), "sweeper")
    upkeep.can_parse(made.index, made.recipes)
    start_upkeep(lifecycle, settings, upkeep, lambda: FIRST_PARTITION in lanes[0].consumer.assignment())
    start_ageing(lifecycle, settings, corpus, stores.objects, clock)

    async def stop_worker() -> None:
        # The other half is for closing the stores.
        seconds = (lifecycle.seconds_left() or 0.0) / 2
        await asyncio.gather(*(lane.drain(seconds) for lane in lanes))
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)

    lifecycle.stack.push_async_callback(stop_worker)


def _lanes(
    settings: IngestSettings, log: EventLog, handler: HandleRecord, change_log: ChangeLog
) -> tuple[ChangeConsumer, ChangeConsumer]:
    """The live lane, and the bulk lane beside it."""
    live = ChangeConsumer(
        consumer=log.consumer(TOPIC_OF[Lane.LIVE], WORKERS),
        handler=replace(handler, bulk=change_log),
        max_in_flight=settings.max_documents_in_flight,
    )
    bulk = ChangeConsumer(
        consumer=log.consumer(TOPIC_OF[Lane.BULK], WORKERS),
        handler=handler,
        max_in_flight=settings.max_bulk_documents_in_flight,
        lane=Lane.BULK,
        yields_to=live,
    )
    return live, bulk


async def _start_parsers(pool: ParserPool) -> None:
    try:
        await pool.start()
    except HeadwaterError as error:
        # Documents try again, each with its own back-off.
        _log.warning("parsers_not_started", reason=error.reason)
    else:
        _log.info("parsers_ready", isolation=str(pool.isolation))


async def _sweep_for_ever(sweeper: Sweeper, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        try:
            removed = await sweeper.sweep()
        except HeadwaterError as error:
            _log.warning("sweep_failed", reason=error.reason)
        else:
            _log.info("swept", versions=removed)


async def _report_lag(change_log: EventLogChangeLog) -> None:
    while True:
        try:
            for lane, lag in (await change_log.lag()).items():
                INGEST_LAG.set(lag, lane=lane)
        except HeadwaterError as error:
            _log.warning("lag_unknown", reason=error.reason)
        await asyncio.sleep(LAG_SECONDS)
