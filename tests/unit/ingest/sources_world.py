"""Records of sources, a topic of theirs, and a consumer over the in-memory adapters."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.ingest.world import World

from chassis.errors import NotFound
from ingest.adapters.event_log import EventLogDeadLetters
from ingest.codec import SOURCES_TOPIC
from ingest.consumer import ChangeConsumer
from ingest.sources.handle import SOURCE_OBJECT_MISSING, HandleSourceRecord, SourceBuckets
from ingest.sources.mapping import Sources, load_sources
from ingest.sources.model import SourceRecord

GOLDEN = Path(__file__).parents[2] / "golden" / "sources"


def sources() -> Sources:
    return load_sources(GOLDEN / "mappings.toml")


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def content(name: str) -> Any:
    return json.loads(golden(name))


def debezium(name: str, key: object = None) -> SourceRecord:
    return SourceRecord(json.dumps(key if key is not None else {"id": 1004}).encode(), golden(name))


@dataclass
class BucketInMemory:
    """What a source's bucket holds now, by key. Notes what was read."""

    objects: dict[str, bytes] = field(default_factory=dict)
    read_keys: list[str] = field(default_factory=list)

    async def read(self, source: str, key: str) -> AsyncIterator[bytes]:
        self.read_keys.append(key)
        if key not in self.objects:
            raise NotFound("There is no such object.", reason=SOURCE_OBJECT_MISSING)
        for start in range(0, len(self.objects[key]), 7):
            yield self.objects[key][start : start + 7]


class SourcesWorld:
    """A world whose records come from sources."""

    def __init__(self, world: World, mapped: Sources | None = None, buckets: SourceBuckets | None = None) -> None:
        self.world = world
        self.bucket = BucketInMemory()
        self.handler = HandleSourceRecord(
            mapped or sources(),
            world.stores.tenants,
            world.stores.ledger,
            world.accept,
            buckets or self.bucket,
            EventLogDeadLetters(world.stores.log.producer(), world.clock),
            world.clock,
        )

    async def send(self, record: SourceRecord, headers: Mapping[str, bytes] | None = None) -> None:
        await self.world.stores.log.ensure_topic(SOURCES_TOPIC, 3)
        producer = self.world.stores.log.producer()
        await producer.append(SOURCES_TOPIC, record.key, record.value, headers or record.headers)

    def consumer(self) -> ChangeConsumer:
        return ChangeConsumer(self.world.stores.log.consumer(SOURCES_TOPIC, "sources"), self.handler, 8, lane="sources")
