"""The event log of the cluster profile: Kafka."""

from __future__ import annotations

from collections.abc import Mapping

from chassis.endpoints import KafkaEndpoint
from chassis.eventlog.engine import check_partition_count, topic_mismatch
from chassis.eventlog.kafka_cluster import KafkaCluster, TopicState, wanted_settings
from chassis.eventlog.kafka_connection import client_options
from chassis.eventlog.kafka_consumer import KafkaConsumer
from chassis.eventlog.kafka_producer import KafkaProducer
from chassis.eventlog.kafka_reader import KafkaReader
from chassis.eventlog.topics import TopicSpec


class KafkaEventLog:
    """Event log in a Kafka cluster (aiokafka), version 2.1 of the brokers or later.

    What the embedded logs promise and Kafka does not: a topic loses records after its retention whether or not they
    were read. Connects when first used. Construct it inside the event loop that uses it.
    """

    def __init__(self, endpoint: KafkaEndpoint) -> None:
        self._endpoint = endpoint
        self._cluster = KafkaCluster(client_options(endpoint), endpoint.prefix)
        self._producers: list[KafkaProducer] = []
        self._consumers: list[KafkaConsumer] = []
        self._readers: list[KafkaReader] = []

    async def ensure_topic(self, topic: str, partitions: int, *, compacted: bool = False) -> None:
        """Creates the topic when it is missing; see the port. Settings other than the port's are not compared: see
        ``differences``. Raises DependencyUnavailable."""
        check_partition_count(partitions)
        spec = TopicSpec(partitions, compacted)
        state = await self._cluster.topic(topic)
        if state is None or not state.has_leaders:
            await self._cluster.create(topic, spec, self._endpoint.replication_factor)
            state = await self._cluster.topic(topic)
        if state is None or (len(state.partitions), state.compacted) != (partitions, compacted):
            raise topic_mismatch(topic)

    async def differences(self, topics: Mapping[str, TopicSpec]) -> list[str]:
        """How the cluster differs from these topics, a sentence each; empty when it is as it should be. Changes
        nothing. Raises DependencyUnavailable."""
        found = []
        for topic, spec in topics.items():
            name = self._cluster.prefix + topic
            state = await self._cluster.topic(topic)
            if state is None:
                found.append(f"The topic {name} is missing.")
            else:
                found += [f"The topic {name} {what}." for what in self._differences(spec, state)]
        return found

    def producer(self) -> KafkaProducer:
        """Another producer."""
        self._producers.append(KafkaProducer(self._cluster))
        return self._producers[-1]

    def consumer(self, topic: str, group: str) -> KafkaConsumer:
        """Another consumer."""
        self._consumers.append(KafkaConsumer(self._cluster, topic, group, self._endpoint.session_seconds))
        return self._consumers[-1]

    def reader(self, topic: str) -> KafkaReader:
        """Another reader."""
        self._readers.append(KafkaReader(self._cluster, topic))
        return self._readers[-1]

    async def close(self) -> None:
        """Closes every producer, consumer and reader made here, then the connections. Idempotent."""
        for producer in self._producers:
            await producer.close()
        for consumer in self._consumers:
            await consumer.stop()
        for reader in self._readers:
            await reader.stop()
        await self._cluster.close()

    def _differences(self, spec: TopicSpec, state: TopicState) -> list[str]:
        replication = self._endpoint.replication_factor
        wanted = wanted_settings(spec, replication)
        found = []
        if len(state.partitions) != spec.partitions:
            found.append(f"has {len(state.partitions)} partitions, expected are {spec.partitions}")
        if state.replication < replication:
            found.append(f"has {state.replication} copies of a partition, expected are {replication}")
        policy = state.settings.get("cleanup.policy", "")
        if policy != wanted["cleanup.policy"]:
            found.append(f"has the clean-up policy {policy}, expected is {wanted['cleanup.policy']}")
        for setting in ("max.message.bytes", "min.insync.replicas"):
            if int(state.settings.get(setting, 0)) < int(wanted[setting]):
                found.append(f"has {setting} {state.settings.get(setting)}, expected is at least {wanted[setting]}")
        kept = int(state.settings.get("retention.ms", -1))
        if not spec.compacted and 0 <= kept < int(wanted["retention.ms"]):
            found.append(f"keeps records for {kept} ms, expected are at least {wanted['retention.ms']}")
        return found
