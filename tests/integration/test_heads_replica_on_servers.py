"""Replicas of the heads over Elasticsearch and Kafka: what a reader sees, and how soon."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation
from tests.contract.corpus_samples import head, tombstone
from tests.contract.event_log_world import kafka_endpoint

from chassis.clock import SystemClock
from chassis.eventlog.kafka import KafkaEventLog
from corpus.adapters.elasticsearch import heads as elasticsearch_heads
from corpus.adapters.elasticsearch.heads import ElasticsearchHeads
from corpus.domain import AccessPolicy, Announcement, DocumentKey, Head
from corpus.feed import HEADS_TOPIC
from corpus.ports import HeadReads
from corpus.replica import HeadsReplica
from ingest.adapters.event_log import EventLogHeadFeed

pytestmark = pytest.mark.cluster

REVOCATIONS = 100


@dataclass
class Counting:
    """An authority that counts the documents it is asked for."""

    heads: ElasticsearchHeads
    asked: int = 0

    async def get(self, key: DocumentKey) -> Head | None:
        return (await self.get_many(key.tenant_id, [key.document_id])).get(key.document_id)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, Head]:
        self.asked += len(document_ids)
        return await self.heads.get_many(tenant_id, document_ids)


@dataclass
class Installation:
    """A writer as ingestion is one, and replicas as retrievers have them."""

    heads: ElasticsearchHeads
    feed: EventLogHeadFeed
    log: KafkaEventLog
    stack: AsyncExitStack

    async def write(self, written: Head) -> None:
        await self.heads.put(written)
        await self.feed.publish(written)

    async def replica(self, authority: HeadReads | None = None) -> HeadsReplica:
        """A replica that has the whole feed."""
        made = HeadsReplica(authority or self.heads, lambda: self.log.reader(HEADS_TOPIC), SystemClock())
        task = asyncio.create_task(made.run())
        self.stack.push_async_callback(lambda: asyncio.gather(task, return_exceptions=True))
        self.stack.callback(task.cancel)
        await settled(made)
        return made


async def settled(replica: HeadsReplica) -> None:
    async with asyncio.timeout(60):
        while not replica.is_current() or replica.unanswered():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def installed() -> AsyncIterator[Installation]:
    async with elasticsearch_installation(elasticsearch_heads.SPECS) as open_connection, AsyncExitStack() as stack:
        log = KafkaEventLog(kafka_endpoint())
        stack.push_async_callback(log.close)
        await log.ensure_topic(HEADS_TOPIC, 3, compacted=True)
        authority = ElasticsearchHeads(open_connection())
        yield Installation(authority, EventLogHeadFeed(log.producer(), SystemClock(), has_replicas=True), log, stack)


def readable_by(*tokens: str) -> AccessPolicy:
    return AccessPolicy(frozenset(tokens))


async def test_a_revocation_is_effective_in_every_replica_within_a_second() -> None:
    async with installed() as here:
        await asyncio.gather(*(here.write(head(f"{n}", access=readable_by("a"))) for n in range(REVOCATIONS)))
        replicas = [await here.replica() for _ in range(2)]
        took: list[float] = []
        for n in range(REVOCATIONS):
            began = time.perf_counter()
            await here.write(head(f"{n}", 2, access=readable_by()))
            for replica in replicas:
                while (await replica.get_many("acme", [f"{n}"]))[f"{n}"].access.tokens:
                    assert time.perf_counter() - began < 10
                    await asyncio.sleep(0.002)
            took.append(time.perf_counter() - began)
        took.sort()
        print(f"revoke → invisible: p50 {took[len(took) // 2]:.3f} s, worst {took[-1]:.3f} s")
        assert took[int(len(took) * 0.99)] <= 1.0


async def test_a_replica_that_knows_the_documents_asks_nobody_and_says_what_the_authority_says() -> None:
    chance = random.Random(3)
    async with installed() as here:
        names = [f"doc-{n}" for n in range(300)]
        await asyncio.gather(*(here.write(head(name, 1, access=readable_by("a", "b"))) for name in names))
        authority = Counting(here.heads)
        replica = await here.replica(authority)
        asked = authority.asked
        assert (await replica.get_many("acme", names)).keys() == set(names)
        assert authority.asked == asked
        for version in range(2, 5):
            changed = chance.sample(names, 100)
            made = [head(each, version, access=readable_by(*chance.sample("abcd", 2))) for each in changed]
            buried = [tombstone(each, version + 10) for each in chance.sample(names, 3)]
            await asyncio.gather(*(here.write(each) for each in [*made, *buried]))
        await here.feed.publish(head(names[0], 1, access=readable_by("a", "b")))
        await settled(replica)
        wanted = await here.heads.get_many("acme", names)
        async with asyncio.timeout(10):
            while not same(await replica.get_many("acme", names), wanted):
                await asyncio.sleep(0.01)


async def test_a_revocation_whose_record_never_comes_is_effective_in_every_replica() -> None:
    async with installed() as here:
        await asyncio.gather(*(here.write(head(f"{n}", access=readable_by("a"))) for n in range(REVOCATIONS)))
        replicas = [await here.replica() for _ in range(2)]
        for n in range(REVOCATIONS):
            revoked = head(f"{n}", 2, access=readable_by())
            await here.feed.announce(Announcement(revoked.key, revoked.event_id, 2))
            await here.heads.put(revoked)  # and here the worker dies
            began = time.perf_counter()
            for replica in replicas:
                while (await replica.get_many("acme", [f"{n}"]))[f"{n}"].access.tokens:
                    assert time.perf_counter() - began < 1.0
                    await asyncio.sleep(0.002)


async def test_a_dropped_tenant_is_dropped_from_every_replica() -> None:
    async with installed() as here:
        await asyncio.gather(*(here.write(head(f"{n}", 9)) for n in range(20)))
        replica = await here.replica()
        await here.heads.drop_tenant("acme")
        await here.feed.forget_tenant("acme")
        names = [f"{n}" for n in range(20)]
        async with asyncio.timeout(10):
            while await replica.get_many("acme", names):
                await asyncio.sleep(0.01)
        await here.write(head("3", 1))
        async with asyncio.timeout(10):
            while (await replica.get_many("acme", names)).keys() != {"3"}:
                await asyncio.sleep(0.01)


def same(found: Mapping[str, object], wanted: Mapping[str, Head]) -> bool:
    def relevant(each: object) -> tuple[object, ...]:
        return tuple(getattr(each, name) for name in ("version", "state", "access", "chunks_version"))

    return {name: relevant(each) for name, each in found.items()} == {
        name: relevant(each) for name, each in wanted.items()
    }
