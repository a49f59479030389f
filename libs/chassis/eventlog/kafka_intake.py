"""Records on their way from aiokafka to whoever polls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from chassis.eventlog.engine import share_of
from chassis.eventlog.port import Partition, Record

_SLICE_SECONDS = 0.25
"""Longest single wait: bounds how long a partition that was resumed meanwhile goes unnoticed."""

FETCH_OPTIONS = {
    "enable_auto_commit": False,
    # The brokers hold an unanswered fetch so long, and a partition that was just emptied waits for its answer.
    "fetch_max_wait_ms": 100,
    "fetch_max_bytes": 16 * 1024 * 1024,
}


class Intake:
    """Takes over what aiokafka has fetched and hands it out in equal shares.

    aiokafka gives the records of whichever partition it fetched first, moves on when it has returned them, and counts
    time without a poll wrongly after a cancelled one. So it is only ever called without waiting, or from a task that
    nobody cancels, and what it returned is kept here.
    """

    def __init__(self, topic: str, name: str) -> None:
        self._topic = topic
        self._name = name
        self._ready: dict[int, deque[Any]] = {}
        self._waiting: asyncio.Task[None] | None = None
        self._turn = 0

    async def take(
        self, inner: AIOKafkaConsumer, wanted: Callable[[], Collection[int]], max_records: int, timeout_seconds: float
    ) -> Sequence[Record]:
        """Records of the partitions that ``wanted`` names, which is asked again after every wait. Raises KafkaError;
        a call that raises or is cancelled has taken nothing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            await self._collect(inner, wanted())
            found = self._hand_out(sorted(wanted()), max_records)
            left = deadline - loop.time()
            if found:
                return found
            if self._waiting is None:
                places = [self._place(index) for index in wanted()] or [self._place(-1)]
                self._waiting = loop.create_task(self._wait(inner, places, max(min(left, _SLICE_SECONDS), 0.0)))
            await asyncio.wait({self._waiting}, timeout=max(left, 0.0))
            if self._waiting.done():
                done, self._waiting = self._waiting, None
                done.result()
            if left <= 0:
                return self._hand_out(sorted(wanted()), max_records)

    def held(self, index: int) -> int:
        """Records of a partition that were fetched and not handed out."""
        return len(self._ready.get(index, ()))

    def drop(self, indexes: Collection[int] | None = None) -> None:
        """Forgets what was not handed out, of these partitions or of all."""
        for index in list(self._ready) if indexes is None else indexes:
            self._ready.pop(index, None)

    async def close(self) -> None:
        """Ends the wait that a poll may have left. The client must not be used for polling any more."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})
        self.drop()

    async def _collect(self, inner: AIOKafkaConsumer, indexes: Collection[int]) -> None:
        if self._waiting is not None:
            return  # its task keeps what there is; two at a time could mix up the order
        for index in indexes:
            if not self.held(index):
                # Without a time-out this returns what is there and gives way to nobody.
                self._keep(await inner.getmany(self._place(index), timeout_ms=0))

    async def _wait(self, inner: AIOKafkaConsumer, places: list[TopicPartition], seconds: float) -> None:
        # A partition that nobody has (−1) stands for none at all: with no names it would be every partition, and
        # without a call the group would believe that this member is gone.
        self._keep(await inner.getmany(*places, timeout_ms=int(seconds * 1000)))

    def _keep(self, found: dict[TopicPartition, list[Any]]) -> None:
        for place, records in found.items():
            self._ready.setdefault(place.partition, deque()).extend(records)

    def _hand_out(self, indexes: Sequence[int], max_records: int) -> list[Record]:
        # Another partition comes first at each turn, so that a small ``max_records`` starves none.
        held = [index for index in indexes if self.held(index)]
        self._turn += 1
        start = self._turn % len(held) if held else 0
        found: list[Record] = []
        for turn, index in enumerate(held[start:] + held[:start]):
            records = self._ready[index]
            for _ in range(min(share_of(max_records, len(found), len(held) - turn), len(records))):
                found.append(self._record(records.popleft()))
        return found

    def _record(self, record: Any) -> Record:
        return Record(
            partition=Partition(self._topic, record.partition),
            offset=record.offset,
            key=record.key or b"",
            value=record.value,
            headers={name: value or b"" for name, value in record.headers},
            timestamp_ms=record.timestamp,
        )

    def _place(self, index: int) -> TopicPartition:
        return TopicPartition(self._name, index)


def has_died(inner: AIOKafkaConsumer) -> bool:
    """Whether the client's fetching task has ended, which it tells nobody: polls would return nothing for ever."""
    fetcher = inner._fetcher
    return bool(fetcher is not None and fetcher.error_future.done())


async def stop_quietly(inner: AIOKafkaConsumer, seconds: float) -> bool:
    """Stops the client; False when it did not within the time."""
    try:
        async with asyncio.timeout(seconds):
            await inner.stop()
    except (RuntimeError, OSError, TimeoutError):
        return False
    return True
