"""The reader that the embedded logs share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from chassis.errors import FailedPrecondition
from chassis.eventlog.engine import LogEngine, log_truncated
from chassis.eventlog.port import Record


class TopicReader:
    """Reads one topic of a ``LogEngine`` from its beginning; see ``chassis.eventlog.port.LogReader``."""

    def __init__(self, engine: LogEngine, topic: str) -> None:
        self._engine = engine
        self._topic = topic
        self._positions: dict[int, int] = {}
        self._turn = 0
        self._stopped = False

    async def start(self) -> None:
        """Takes the beginning of every partition as its position. Idempotent."""
        if self._stopped:
            raise _stopped()
        if not self._positions:
            self._positions = dict.fromkeys(sorted(await self._engine.ends(self._topic)), 0)

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Next records; see the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            self._require_started()
            seen = self._engine.change_count()
            positions = self._next_positions()
            found = await self._engine.read(self._topic, positions, max_records)
            require_within(self._topic, positions, found.ends)
            if found.records:
                for record in found.records:
                    self._positions[record.partition.index] = record.offset + 1
                return found.records
            # Every partition had its share of the fetch, so what is missing up to these ends was compacted away.
            self._positions.update(found.ends)
            if loop.time() >= deadline:
                return ()
            await self._engine.wait_for_change(seen, deadline - loop.time())

    async def behind(self) -> int:
        """Records up to the log's present ends that were not handed out; see the port."""
        self._require_started()
        before = dict(self._positions)
        ends = await self._engine.ends(self._topic)
        require_within(self._topic, before, ends)
        return sum(max(end - self._positions[index], 0) for index, end in ends.items())

    async def stop(self) -> None:
        """Ends reading. Idempotent."""
        self._stopped = True

    def _next_positions(self) -> dict[int, int]:
        # Another partition comes first at each fetch, so that a small ``max_records`` starves none.
        indexes = list(self._positions)
        self._turn += 1
        start = self._turn % len(indexes)
        return {index: self._positions[index] for index in indexes[start:] + indexes[:start]}

    def _require_started(self) -> None:
        if self._stopped:
            raise _stopped()
        if not self._positions:
            raise FailedPrecondition("Start the reader before polling.", reason="READER_NOT_STARTED")


def require_within(topic: str, positions: Mapping[int, int], ends: Mapping[int, int]) -> None:
    """Raises FailedPrecondition LOG_TRUNCATED when a position lies beyond an end that was read after it."""
    if positions.keys() != ends.keys() or any(positions[index] > end for index, end in ends.items()):
        raise log_truncated(topic)


def _stopped() -> FailedPrecondition:
    return FailedPrecondition("The reader has been stopped; create another one.", reason="READER_STOPPED")
