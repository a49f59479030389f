"""The embedded profile: everything in one data directory, no server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chassis.cache.memory import MemoryCache
from chassis.cache.port import Cache
from chassis.eventlog.port import EventLog
from chassis.eventlog.sqlite import SqliteEventLog
from chassis.eventlog.topics import TopicSpec
from chassis.lifecycle import Lifecycle
from chassis.objectstore.obstore import ObstoreObjectStore
from chassis.objectstore.port import ObjectStore
from corpus.adapters.numpy import NumpyVectorIndex
from corpus.adapters.sqlite.change_ledger import SqliteChangeLedger
from corpus.adapters.sqlite.chunk_store import SqliteChunkStore
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.sqlite.dead_letters import SqliteDeadLetterStore, SqliteHalts, SqliteKnownBadContent
from corpus.adapters.sqlite.embedding_cache import SqliteEmbeddingCache
from corpus.adapters.sqlite.generations import SqliteGenerations
from corpus.adapters.sqlite.heads import SqliteHeads
from corpus.adapters.sqlite.pseudonyms import SqlitePseudonymStore
from corpus.adapters.sqlite.reviews import SqliteReviewQueue
from corpus.adapters.sqlite.tenants import SqliteTenants
from corpus.adapters.tantivy import TantivyLexicalIndex
from corpus.engines.port import CorpusStores
from corpus.ports import EmbeddingCache, HeadReads
from corpus.settings import StoreSettings


class EmbeddedEngines:
    """Engines over ``settings.data_dir``; see ``corpus.engines.port``."""

    heads_are_replicated: Final = False

    def __init__(self, lifecycle: Lifecycle, settings: StoreSettings) -> None:
        self._stack = lifecycle.stack
        self._data = settings.data_dir

    async def prepare(self, topics: Mapping[str, TopicSpec]) -> None:
        """Creates the topics; everything else makes itself."""
        if not topics:
            return
        log = SqliteEventLog(self._data / "eventlog.sqlite")
        try:
            for name, topic in topics.items():
                await log.ensure_topic(name, topic.partitions, compacted=topic.compacted)
        finally:
            await log.close()

    async def stores(self, *, writable: bool) -> CorpusStores:
        """SQLite, NumPy segments and tantivy."""
        database = CorpusDatabase(self._data / "corpus.sqlite")
        self._stack.push_async_callback(database.close)
        vectors = NumpyVectorIndex(self._data / "index", writable=writable)
        self._stack.push_async_callback(vectors.close)
        lexical = TantivyLexicalIndex(self._data / "index", writable=writable)
        self._stack.push_async_callback(lexical.close)
        return CorpusStores(
            tenants=SqliteTenants(database),
            generations=SqliteGenerations(database),
            heads=SqliteHeads(database),
            chunks=SqliteChunkStore(database),
            ledger=SqliteChangeLedger(database),
            vectors=vectors,
            lexical=lexical,
            letters=SqliteDeadLetterStore(database),
            known_bad=SqliteKnownBadContent(database),
            halts=SqliteHalts(database),
            pseudonyms=SqlitePseudonymStore(database),
            reviews=SqliteReviewQueue(database),
        )

    def served_heads(self, stores: CorpusStores, *, staleness_seconds: float, max_heads: int) -> HeadReads:
        """The authority itself: it is a file on this machine."""
        del staleness_seconds, max_heads
        return stores.heads

    def event_log(self) -> EventLog:
        """A log in SQLite."""
        log = SqliteEventLog(self._data / "eventlog.sqlite")
        self._stack.push_async_callback(log.close)
        return log

    def embedding_cache(self) -> EmbeddingCache:
        """Vectors in SQLite: they outlive a restart."""
        cache = SqliteEmbeddingCache(self._data / "embeddings.sqlite")
        self._stack.push_async_callback(cache.close)
        return cache

    def objects(self) -> ObjectStore:
        """Files in a directory."""
        return ObstoreObjectStore(self._data / "objects")

    def cache(self, max_bytes: int) -> Cache:
        """Memory of this process."""
        return MemoryCache(max_bytes)
