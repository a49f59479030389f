"""What a composition root asks of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from chassis.cache.port import Cache
from chassis.eventlog.port import EventLog
from chassis.eventlog.topics import TopicSpec
from chassis.objectstore.port import ObjectStore
from corpus.dead_letters import DeadLetterStore, Halts, KnownBadContent
from corpus.ports import (
    ChangeLedger,
    ChunkStore,
    EmbeddingCache,
    Generations,
    HeadReads,
    Heads,
    LexicalIndex,
    Tenants,
    VectorIndex,
)
from corpus.pseudonyms import PseudonymStore
from corpus.reviews import ReviewQueue


@dataclass(frozen=True, slots=True)
class CorpusStores:
    """Everything the corpus is kept in."""

    tenants: Tenants
    generations: Generations
    heads: Heads
    chunks: ChunkStore
    ledger: ChangeLedger
    vectors: VectorIndex
    lexical: LexicalIndex
    letters: DeadLetterStore
    known_bad: KnownBadContent
    halts: Halts
    pseudonyms: PseudonymStore
    reviews: ReviewQueue


class Engines(Protocol):
    """The engines of one profile. Each method is called at most once per process."""

    @property
    def heads_are_replicated(self) -> bool:
        """Whether readers keep heads, and have to be told on the feed before one is replaced."""
        ...

    async def prepare(self, topics: Mapping[str, TopicSpec]) -> None:
        """Makes sure that what this process is about to use is as expected. Embedded: creates the topics. Cluster:
        waits for the servers, compares, and raises FailedPrecondition ENGINES_MISMATCH naming each difference;
        ``headwater admin init`` creates what is missing."""
        ...

    async def stores(self, *, writable: bool) -> CorpusStores:
        """The stores; one process per data directory may open the embedded indexes for writing."""
        ...

    def served_heads(self, stores: CorpusStores, *, staleness_seconds: float, max_heads: int) -> HeadReads:
        """Heads as a service reads them that checks every candidate: a replica where the authority is far away, at most
        so old and so large."""
        ...

    def event_log(self) -> EventLog: ...

    def embedding_cache(self) -> EmbeddingCache: ...

    def objects(self) -> ObjectStore: ...

    def cache(self, max_bytes: int) -> Cache:
        """A cache; ``max_bytes`` bounds one that lives in this process."""
        ...
