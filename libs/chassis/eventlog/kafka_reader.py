"""A reader of a whole topic in Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from chassis.errors import FailedPrecondition
from chassis.eventlog.engine import log_truncated
from chassis.eventlog.kafka_cluster import KafkaCluster
from chassis.eventlog.kafka_connection import asking, kafka_errors, unavailable
from chassis.eventlog.kafka_intake import FETCH_OPTIONS, Intake, has_died, stop_quietly
from chassis.eventlog.port import Record
from chassis.eventlog.reader import require_within

START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_log = logging.getLogger(__name__)


class KafkaReader:
    """Reads one topic from its beginning, in no group; see ``chassis.eventlog.port.LogReader``."""

    def __init__(self, cluster: KafkaCluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._name = cluster.prefix + topic
        self._inner: AIOKafkaConsumer | None = None
        self._intake = Intake(topic, self._name)
        self._partitions = 0
        self._positions: dict[int, int] = {}
        self._starting = asyncio.Lock()
        self._stopped = False

    async def start(self) -> None:
        """Takes the beginning of the topic as its position."""
        self._require_not_stopped()
        await self._client()

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Next records; see the port."""
        self._require_started()
        inner = await self._client()
        with kafka_errors():
            try:
                found = await self._intake.take(inner, lambda: range(self._partitions), max_records, timeout_seconds)
            except errors.OffsetOutOfRangeError as error:
                raise log_truncated(self._topic) from error
            if not found and has_died(inner):
                await self._let_go()  # the next poll goes on with another client where this one's records ended
                raise unavailable("FetcherEnded")
        for record in found:
            self._positions[record.partition.index] = record.offset + 1
        return found

    async def behind(self) -> int:
        """Records up to the ends that the leaders confirm now; see the port."""
        self._require_started()
        inner = await self._client()
        before = await self._handed_out(inner)
        ends = await self._cluster.ends(self._topic, self._partitions)
        require_within(self._topic, before, ends)
        after = await self._handed_out(inner)
        return sum(max(end - after[index], 0) for index, end in ends.items())

    async def stop(self) -> None:
        """Ends reading. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        await self._let_go()

    async def _handed_out(self, inner: AIOKafkaConsumer) -> dict[int, int]:
        """Offsets up to which everything was handed out. Where nothing waits to be, that is as far as the client has
        read, beyond the last record if those after it were compacted away."""
        found = {}
        async with asking():
            for index in range(self._partitions):
                read = await inner.position(TopicPartition(self._name, index))
                found[index] = self._positions[index] if self._intake.held(index) else read
        return found

    async def _client(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._inner is None:
                self._inner = await self._open()
            return self._inner

    async def _open(self) -> AIOKafkaConsumer:
        self._partitions = await self._cluster.partition_count(self._topic)
        places = [TopicPartition(self._name, index) for index in range(self._partitions)]
        inner = AIOKafkaConsumer(
            group_id=None,
            # A position that is no more is no reason to begin anew in silence.
            auto_offset_reset="none",
            **FETCH_OPTIONS,
            **self._cluster.options,
        )
        try:
            async with asking(START_SECONDS):
                await inner.start()
                inner.assign(places)
                starts = await inner.beginning_offsets(places)
                for place, offset in starts.items():
                    known = self._positions.setdefault(place.partition, offset)
                    inner.seek(place, known)
        except BaseException:
            await stop_quietly(inner, _STOP_SECONDS)
            raise
        return inner

    async def _let_go(self) -> None:
        inner, self._inner = self._inner, None
        await self._intake.close()
        if inner is not None and not await stop_quietly(inner, _STOP_SECONDS):
            _log.warning("a Kafka reader did not close properly")

    def _require_not_stopped(self) -> None:
        if self._stopped:
            raise FailedPrecondition("The reader has been stopped; create another one.", reason="READER_STOPPED")

    def _require_started(self) -> None:
        self._require_not_stopped()
        if not self._positions:
            raise FailedPrecondition("Start the reader before polling.", reason="READER_NOT_STARTED")
