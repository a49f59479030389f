"""What is asked of a Kafka cluster besides records: topics, their settings and ends, groups' offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from chassis.eventlog.engine import topic_missing
from chassis.eventlog.kafka_connection import MAX_RECORD_BYTES, REQUEST_MS, asking, unavailable
from chassis.eventlog.topics import TopicSpec

RETENTION_MS = 14 * 24 * 3600 * 1000
"""How long records stay, read or not. Kafka removes what nobody has read yet, too: two weeks outlast a long outage of
the workers, and the age of the oldest unhandled event is watched."""

_SEGMENT_BYTES = 64 * 1024 * 1024
"""Of a compacted topic: the newest segment is never compacted, so it must not hold most of the topic."""

_CREATION_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is.

    Attributes:
        partitions: Indexes of its partitions, ascending.
        replication: Copies of its partitions; the smallest number if they differ.
        has_leaders: Whether every partition can be written to and read from.
        settings: Its configuration, defaults included.
    """

    partitions: tuple[int, ...]
    replication: int
    has_leaders: bool
    settings: Mapping[str, str]

    @property
    def compacted(self) -> bool:
        return "compact" in self.settings.get("cleanup.policy", "")


class KafkaCluster:
    """Two connections that are opened when first used; safe for concurrent use.

    Names are those of the callers; ``prefix`` is put before them on the way out.
    """

    def __init__(self, options: Mapping[str, Any], prefix: str) -> None:
        self.options = options
        self.prefix = prefix
        self._opening = asyncio.Lock()
        self._admin: AIOKafkaAdminClient | None = None
        self._observer: AIOKafkaConsumer | None = None

    async def topic(self, topic: str) -> TopicState | None:
        """The topic, None when there is none. Never creates one in passing, whatever the brokers' settings are."""
        name = self.prefix + topic
        async with asking():
            admin = await self._admin_client()
            # Settings first: asking for them creates no topic, where asking for metadata may.
            settings = await _settings(admin, name)
            if settings is None:
                return None
            (found,) = await admin.describe_topics([name])
        partitions = found["partitions"]
        if found["error_code"] or not partitions:
            return TopicState((), 0, False, settings)  # created a moment ago: not every broker knows it yet
        return TopicState(
            partitions=tuple(sorted(part["partition"] for part in partitions)),
            replication=min(len(part["replicas"]) for part in partitions),
            has_leaders=all(part["leader"] >= 0 for part in partitions),
            settings=settings,
        )

    async def partition_count(self, topic: str) -> int:
        """Raises FailedPrecondition TOPIC_MISSING."""
        state = await self.topic(topic)
        if state is None:
            raise topic_missing(topic)
        if not state.partitions:
            raise unavailable("TopicBeingCreated")
        return len(state.partitions)

    async def create(self, topic: str, spec: TopicSpec, replication: int) -> None:
        """Creates the topic, or nothing if it exists, and returns once it can be used."""
        new = NewTopic(
            self.prefix + topic, spec.partitions, replication, topic_configs=wanted_settings(spec, replication)
        )
        async with asking():
            admin = await self._admin_client()
            answer = await admin.create_topics([new], timeout_ms=REQUEST_MS)
            code = answer.topic_errors[0][1]
            if code and errors.for_code(code) is not errors.TopicAlreadyExistsError:
                raise errors.for_code(code)
            while True:
                state = await self.topic(topic)
                if state is not None and state.has_leaders:
                    return
                await asyncio.sleep(_CREATION_POLL_SECONDS)

    async def ends(self, topic: str, partitions: int) -> dict[int, int]:
        """Offset of the next record to be appended, by partition index, as the leaders say now."""
        places = [TopicPartition(self.prefix + topic, index) for index in range(partitions)]
        async with asking():
            observer = await self._offset_observer()
            found = await observer.end_offsets(places)
        return {place.partition: offset for place, offset in found.items()}

    async def lag(self, topic: str, group_id: str) -> dict[int, int]:
        """Records not committed by partition; those that retention removed are not counted."""
        partitions = await self.partition_count(topic)
        places = [TopicPartition(self.prefix + topic, index) for index in range(partitions)]
        async with asking():
            observer = await self._offset_observer()
            admin = await self._admin_client()
            # Committed offsets first: what is committed meanwhile makes the lag too large, never too small.
            committed = await admin.list_consumer_group_offsets(group_id, partitions=places)
            starts, ends = await asyncio.gather(observer.beginning_offsets(places), observer.end_offsets(places))
        done = {place: max(committed[place].offset if place in committed else 0, starts[place]) for place in places}
        return {place.partition: max(ends[place] - done[place], 0) for place in places}

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        async with self._opening:
            admin, self._admin = self._admin, None
            observer, self._observer = self._observer, None
        for closing in (admin.close() if admin else None, observer.stop() if observer else None):
            if closing is not None:
                async with asking():
                    await closing

    async def _admin_client(self) -> AIOKafkaAdminClient:
        async with self._opening:
            if self._admin is None:
                admin = AIOKafkaAdminClient(**self.options)
                try:
                    await admin.start()
                except BaseException:
                    await admin.close()
                    raise
                self._admin = admin
            return self._admin

    async def _offset_observer(self) -> AIOKafkaConsumer:
        async with self._opening:
            if self._observer is None:
                observer = AIOKafkaConsumer(group_id=None, enable_auto_commit=False, **self.options)
                try:
                    await observer.start()
                except BaseException:
                    await observer.stop()
                    raise
                self._observer = observer
            return self._observer


def wanted_settings(spec: TopicSpec, replication: int) -> dict[str, str]:
    """Settings a topic is created with."""
    settings = {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "max.message.bytes": str(MAX_RECORD_BYTES),
        # With acks=all an accepted record is on so many brokers; one of three may be down meanwhile.
        "min.insync.replicas": str(max(replication - 1, 1)),
    }
    if spec.compacted:
        return settings | {"segment.bytes": str(_SEGMENT_BYTES)}
    return settings | {"retention.ms": str(RETENTION_MS)}


async def _settings(admin: AIOKafkaAdminClient, name: str) -> dict[str, str] | None:
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    code, _, _, _, entries = answer.resources[0]
    if code:
        if errors.for_code(code) is errors.UnknownTopicOrPartitionError:
            return None
        raise errors.for_code(code)
    return {entry[0]: entry[1] for entry in entries}
