"""Appending to Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer, errors

from chassis.eventlog.engine import producer_closed
from chassis.eventlog.kafka_cluster import KafkaCluster
from chassis.eventlog.kafka_connection import MAX_RECORD_BYTES, asking, record_too_large
from chassis.eventlog.partitioner import partition_of
from chassis.eventlog.port import Partition, Position

APPEND_SECONDS = 30.0
"""Longest append; the client resends within it. Leaders move in a few seconds, a broker that died without a word is
left out of the copies after 30 s."""

_CLOSE_SECONDS = 10.0
_OVERHEAD_BYTES = 1024
"""What a batch adds to its only record, at most."""

_log = logging.getLogger(__name__)


class KafkaProducer:
    """Appends to a ``KafkaEventLog``; see the port.

    An append returns once every in-sync copy has the record (acks=all), and a resend by the client leaves no second one
    (idempotent producer). An append that failed may still happen later. No transactions.
    """

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._inner: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._counts: dict[str, int] = {}
        self._turns: defaultdict[Partition, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._under_way: set[asyncio.Task[Position]] = set()
        self._discarded: set[asyncio.Task[None]] = set()
        self._closed = False

    async def append(
        self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Position:
        """Appends one record; see the port. Raises InvalidRequest RECORD_TOO_LARGE besides."""
        if self._closed:
            raise producer_closed()
        # A task of its own, so that ``close`` can wait for it.
        task = asyncio.get_running_loop().create_task(self._append(topic, key, value, dict(headers or {})))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await task

    async def close(self) -> None:
        """Waits for appends under way, at most for their deadline. Idempotent."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(set(self._under_way))
        async with self._opening:
            inner, self._inner = self._inner, None
        if inner is not None:
            await _stop(inner)
        if self._discarded:
            await asyncio.wait(set(self._discarded))

    async def _append(self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> Position:
        size = len(key) + len(value or b"") + sum(len(name) + len(header) for name, header in headers.items())
        if size > MAX_RECORD_BYTES - _OVERHEAD_BYTES - 16 * len(headers):
            raise record_too_large()
        async with asking(APPEND_SECONDS):
            # One after the other until here, so that the order of appends is the order of their calls.
            async with self._opening:
                count = await self._count(topic)
                inner = await self._client()
            partition = Partition(topic, partition_of(key, count))
            try:
                async with self._turns[partition]:
                    sent = await inner.send(
                        self._cluster.prefix + topic,
                        value=value,
                        key=key,
                        partition=partition.index,
                        headers=list(headers.items()),
                    )
                done = await sent
            except RuntimeError as error:  # KafkaError, and what ``kafka_errors`` says of others
                self._counts.pop(topic, None)
                is_passing = isinstance(error, errors.KafkaError) and error.retriable
                if not is_passing and not isinstance(error, errors.MessageSizeTooLargeError):
                    # Its background task may have ended for good: the next append begins with another client.
                    self._discard(inner)
                raise
        return Position(partition, done.offset)

    async def _count(self, topic: str) -> int:
        if topic not in self._counts:
            self._counts[topic] = await self._cluster.partition_count(topic)
        return self._counts[topic]

    async def _client(self) -> AIOKafkaProducer:
        if self._inner is None:
            inner = AIOKafkaProducer(
                acks="all",
                enable_idempotence=True,
                max_request_size=MAX_RECORD_BYTES,
                # One batch of a partition is under way at a time: whoever appends meanwhile shares the next one.
                max_batch_size=128 * 1024,
                **self._cluster.options,
            )
            try:
                await inner.start()
            except BaseException:
                await inner.stop()
                raise
            self._inner = inner
        return self._inner

    def _discard(self, inner: AIOKafkaProducer) -> None:
        if self._inner is inner:
            self._inner = None
            task = asyncio.get_running_loop().create_task(_stop(inner))
            self._discarded.add(task)
            task.add_done_callback(self._discarded.discard)


async def _stop(inner: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await inner.stop()
    except (RuntimeError, OSError, TimeoutError) as error:
        _log.warning("a Kafka producer did not close properly: %s", type(error).__name__)
