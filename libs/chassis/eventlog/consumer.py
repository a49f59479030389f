"""The consumer that the embedded logs share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

from chassis.errors import DependencyUnavailable, FailedPrecondition
from chassis.eventlog.engine import HEARTBEAT_SECONDS, LogEngine, Member, Standing
from chassis.eventlog.port import Partition, Record, RevokedCallback

_STOP_SECONDS = 5.0
"""Leaving is one small write; a member that could not leave is dropped by its lease."""

_log = logging.getLogger(__name__)


class GroupConsumer:
    """One member of a group over a ``LogEngine``; see ``chassis.eventlog.port.Consumer`` for its contract."""

    def __init__(self, engine: LogEngine, topic: str, group: str) -> None:
        self._engine = engine
        self._member = Member(topic, group, uuid4().hex)
        self._on_revoked: RevokedCallback | None = None
        self._fences: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._turn = 0
        self._epoch = -1
        self._next_look = 0.0
        self._started = False
        self._stopped = False

    async def start(self, on_revoked: RevokedCallback | None = None) -> None:
        """Joins the group and takes the partitions that are free."""
        self._require_not_stopped()
        self._on_revoked = on_revoked
        self._started = True
        await self._look()

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Next records; see the port."""
        self._require_not_stopped()
        if not self._started:
            raise FailedPrecondition("Start the consumer before polling.", reason="CONSUMER_NOT_STARTED")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            seen = self._engine.change_count()
            if loop.time() >= self._next_look:
                await self._look()
            fetched = await self._engine.fetch(self._member, self._next_positions(), max_records)
            if fetched.epoch != self._epoch:
                # Owners changed: what was fetched may be another member's by now.
                await self._look()
                if loop.time() >= deadline:
                    return ()
                continue
            if fetched.records:
                for record in fetched.records:
                    self._positions[record.partition.index] = record.offset + 1
                return fetched.records
            wait = min(deadline, self._next_look) - loop.time()
            if loop.time() >= deadline:
                return ()
            await self._engine.wait_for_change(seen, max(wait, 0.0))

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Records offsets of owned partitions; see the port."""
        mine = {p.index: offset for p, offset in offsets.items() if self._owns(p)}
        if mine:
            await self._engine.commit(self._member, mine, {index: self._fences[index] for index in mine})

    async def seek_to_committed(self, partition: Partition) -> None:
        """Goes back to the committed offset. Nothing happens when the partition is no longer assigned."""
        if self._owns(partition):
            standing = await self._engine.look(self._member)
            if self._owns(partition) and partition.index in standing.fences:
                self._positions[partition.index] = standing.committed[partition.index]

    def pause(self, partitions: Collection[Partition]) -> None:
        """Hands out nothing of the partitions; see the port."""
        self._paused.update(p.index for p in partitions if p.topic == self._member.topic)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Undoes ``pause``."""
        self._paused.difference_update(p.index for p in partitions if p.topic == self._member.topic)

    def assignment(self) -> frozenset[Partition]:
        """Partitions of this member."""
        return self._partitions(self._fences)

    async def lag(self) -> Mapping[Partition, int]:
        """Records not committed by the group."""
        lag = await self._engine.lag(self._member.topic, self._member.group)
        return {Partition(self._member.topic, index): count for index, count in lag.items()}

    async def stop(self) -> None:
        """Leaves the group without committing."""
        if self._stopped:
            return
        self._stopped = True
        self._fences.clear()
        self._positions.clear()
        if not self._started:
            return
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._engine.leave(self._member)
        except (TimeoutError, DependencyUnavailable, FailedPrecondition):
            _log.warning("a consumer could not leave its group; its lease will end by itself")

    async def _look(self) -> None:
        """Renews the lease and follows changes of the assignment, after telling whoever works on partitions that go
        away."""
        standing = await self._engine.look(self._member)
        # 1. Partitions that others took because this member's lease had ended: too late to commit, not too late to stop
        # working.
        # (A fence that changed means that somebody else had the partition in between.)
        lost = {i for i, fence in self._fences.items() if standing.fences.get(i) != fence}
        self._drop(lost)
        if lost:
            await self._tell_revoked(lost)
        # 2. Partitions that others are waiting for: still this member's until the callback has returned.
        leaving = standing.leaving & self._fences.keys()
        if leaving:
            await self._tell_revoked(leaving)
            self._drop(leaving)
        if standing.leaving:
            standing = await self._engine.release(self._member, standing.leaving)
        # 3. New ones, from their committed offsets.
        self._adopt(standing)
        # What another member asked for during the release is handled by the next look, at once.
        pause = 0.0 if standing.leaving else HEARTBEAT_SECONDS
        self._next_look = asyncio.get_running_loop().time() + pause

    def _next_positions(self) -> dict[int, int]:
        # Another partition comes first at each fetch, so that a small ``max_records`` starves none.
        indexes = sorted(self._positions.keys() - self._paused)
        self._turn += 1
        start = self._turn % len(indexes) if indexes else 0
        return {index: self._positions[index] for index in indexes[start:] + indexes[:start]}

    def _adopt(self, standing: Standing) -> None:
        self._epoch = standing.epoch
        for index, fence in standing.fences.items():
            if index not in self._fences and index not in standing.leaving:
                self._fences[index] = fence
                self._positions[index] = standing.committed[index]

    def _drop(self, indexes: Collection[int]) -> None:
        for index in indexes:
            self._fences.pop(index, None)
            self._positions.pop(index, None)
            self._paused.discard(index)

    async def _tell_revoked(self, indexes: Collection[int]) -> None:
        if self._on_revoked is not None:
            await self._on_revoked(self._partitions(indexes))

    def _partitions(self, indexes: Collection[int]) -> frozenset[Partition]:
        return frozenset(Partition(self._member.topic, index) for index in indexes)

    def _owns(self, partition: Partition) -> bool:
        return partition.topic == self._member.topic and partition.index in self._fences

    def _require_not_stopped(self) -> None:
        if self._stopped:
            raise FailedPrecondition("The consumer has been stopped; create another one.", reason="CONSUMER_STOPPED")
