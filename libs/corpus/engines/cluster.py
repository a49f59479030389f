"""The cluster profile: Kafka, Elasticsearch, Weaviate, Redis and an S3-compatible object store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chassis.cache.memory import MemoryCache
from chassis.cache.port import Cache
from chassis.cache.redis import RedisCache
from chassis.clock import SystemClock
from chassis.eventlog.port import EventLog
from chassis.eventlog.topics import TopicSpec
from chassis.expected import wait_until_as_expected
from chassis.lifecycle import Lifecycle
from chassis.objectstore.obstore import open_s3
from chassis.objectstore.port import ObjectStore
from corpus.adapters.elasticsearch.change_ledger import ElasticsearchChangeLedger
from corpus.adapters.elasticsearch.chunk_store import ElasticsearchChunkStore
from corpus.adapters.elasticsearch.dead_letters import (
    ElasticsearchDeadLetterStore,
    ElasticsearchHalts,
    ElasticsearchKnownBadContent,
)
from corpus.adapters.elasticsearch.generations import ElasticsearchGenerations
from corpus.adapters.elasticsearch.heads import ElasticsearchHeads
from corpus.adapters.elasticsearch.lexical_index import ElasticsearchLexicalIndex
from corpus.adapters.elasticsearch.pseudonyms import ElasticsearchPseudonymStore
from corpus.adapters.elasticsearch.reviews import ElasticsearchReviewQueue
from corpus.adapters.elasticsearch.tenants import ElasticsearchTenants
from corpus.adapters.keyvalue.embedding_cache import KeyValueEmbeddingCache
from corpus.engines.port import CorpusStores
from corpus.engines.servers import ClusterServers
from corpus.feed import HEADS_TOPIC
from corpus.ports import EmbeddingCache, HeadReads
from corpus.replica import HeadsReplica
from corpus.settings import StoreSettings, WriterSettings

_EMBEDDINGS_KEPT_BYTES: Final = 256 * 1024 * 1024
"""Of an ingest worker without Redis: 150,000 vectors of 384 numbers."""


class ClusterEngines:
    """Engines behind ``settings``' endpoints; see ``corpus.engines.port``."""

    heads_are_replicated: Final = True

    def __init__(self, lifecycle: Lifecycle, settings: StoreSettings) -> None:
        self._lifecycle = lifecycle
        self._settings = settings
        self._servers = ClusterServers(lifecycle.stack, settings)

    async def prepare(self, topics: Mapping[str, TopicSpec]) -> None:
        """Waits until the servers answer, and refuses what is not as expected."""
        await wait_until_as_expected(lambda: self._servers.differences(topics))

    async def stores(self, *, writable: bool) -> CorpusStores:
        """Elasticsearch and Weaviate. Any number of processes may write."""
        del writable
        store = self._servers.elasticsearch()
        return CorpusStores(
            tenants=ElasticsearchTenants(store),
            generations=ElasticsearchGenerations(store),
            heads=ElasticsearchHeads(store),
            chunks=ElasticsearchChunkStore(store),
            ledger=ElasticsearchChangeLedger(store),
            vectors=await self._servers.vectors(),
            lexical=ElasticsearchLexicalIndex(store),
            letters=ElasticsearchDeadLetterStore(store),
            known_bad=ElasticsearchKnownBadContent(store),
            halts=ElasticsearchHalts(store),
            pseudonyms=ElasticsearchPseudonymStore(store),
            reviews=ElasticsearchReviewQueue(store),
        )

    def served_heads(self, stores: CorpusStores, *, staleness_seconds: float, max_heads: int) -> HeadReads:
        """A replica in this process, kept current by the feed."""
        replica = HeadsReplica(
            stores.heads,
            lambda: self._servers.kafka().reader(HEADS_TOPIC),
            SystemClock(),
            staleness_seconds=staleness_seconds,
            max_heads=max_heads,
        )
        self._lifecycle.create_task(replica.run(), "heads-replica")
        return replica

    def event_log(self) -> EventLog:
        """Kafka."""
        return self._servers.kafka()

    def embedding_cache(self) -> EmbeddingCache:
        """Redis, or memory of this process where there is none."""
        return KeyValueEmbeddingCache(self.cache(_EMBEDDINGS_KEPT_BYTES))

    def objects(self) -> ObjectStore:
        """S3."""
        if not isinstance(self._settings, WriterSettings):
            raise TypeError("only services that write have an object store")
        return open_s3(self._settings.s3)

    def cache(self, max_bytes: int) -> Cache:
        """Redis, or memory of this process where there is none."""
        if not self._settings.redis.url:
            return MemoryCache(max_bytes)
        cache = RedisCache(self._settings.redis)
        self._lifecycle.stack.push_async_callback(cache.close)
        return cache
