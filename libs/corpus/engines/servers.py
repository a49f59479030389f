"""Connections to the servers of the cluster profile, and what has to be on them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from chassis.elasticsearch.client import Store, open_store
from chassis.elasticsearch.indexes import IndexSpec, all_differences, create_missing
from chassis.eventlog.kafka import KafkaEventLog
from chassis.eventlog.topics import TopicSpec
from corpus.adapters.elasticsearch import (
    change_ledger,
    chunk_store,
    dead_letters,
    generations,
    heads,
    pseudonyms,
    reviews,
    tenants,
)
from corpus.adapters.elasticsearch.lexical_index import ElasticsearchLexicalIndex
from corpus.adapters.weaviate import WeaviateVectorIndex, open_weaviate
from corpus.settings import StoreSettings

SPECS: Final[tuple[IndexSpec, ...]] = (
    *tenants.SPECS,
    *generations.SPECS,
    *heads.SPECS,
    *chunk_store.SPECS,
    *change_ledger.SPECS,
    *dead_letters.SPECS,
    *pseudonyms.SPECS,
    *reviews.SPECS,
)
"""The indexes that every installation has; those of tenants and generations are made when they are first written."""


class ClusterServers:
    """Kafka, Elasticsearch and Weaviate, each connected once, when it is first needed, and closed with ``stack``."""

    def __init__(self, stack: AsyncExitStack, settings: StoreSettings) -> None:
        self._stack = stack
        self._settings = settings
        self._store: Store | None = None
        self._vectors: WeaviateVectorIndex | None = None
        self._log: KafkaEventLog | None = None

    async def create(self, topics: Mapping[str, TopicSpec]) -> list[str]:
        """Creates what is missing and names it; changes nothing that is there. Idempotent. Raises
        DependencyUnavailable, FailedPrecondition."""
        log, store = self.kafka(), self.elasticsearch()
        made = []
        for name, topic in topics.items():
            missing = await log.differences({name: topic})
            await log.ensure_topic(name, topic.partitions, compacted=topic.compacted)
            if missing:
                made.append(f"topic {name}")
        return made + await create_missing(store, SPECS)

    async def differences(self, topics: Mapping[str, TopicSpec]) -> list[str]:
        """What differs from what this version expects, one sentence each. Raises DependencyUnavailable."""
        found = await self.kafka().differences(topics) if topics else []
        found += await all_differences(self.elasticsearch(), SPECS)
        found += await ElasticsearchLexicalIndex(self.elasticsearch()).differences()
        found += await (await self.vectors()).differences()
        return found

    def kafka(self) -> KafkaEventLog:
        """The event log."""
        if self._log is None:
            self._log = KafkaEventLog(self._settings.kafka)
            self._stack.push_async_callback(self._log.close)
        return self._log

    def elasticsearch(self) -> Store:
        """The connection that all adapters share."""
        if self._store is None:
            self._store = open_store(self._settings.elasticsearch)
            self._stack.push_async_callback(self._store.close)
        return self._store

    async def vectors(self) -> WeaviateVectorIndex:
        """The vector index."""
        if self._vectors is None:
            connection = await open_weaviate(self._settings.weaviate)
            self._stack.push_async_callback(connection.close)
            self._vectors = WeaviateVectorIndex(connection)
        return self._vectors
