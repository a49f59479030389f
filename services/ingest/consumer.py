"""Worker edge: takes records from the event log, handles many documents side by side, and commits what is done.

The changes of one document are handled one after the other. An offset is committed when everything before it in its
partition is done. What to do about a failure is the error's own disposition (`chassis.errors`): a bad event has become
a dead letter by then, a dependency that is down pauses the partition and the same event is tried again, anything else
stops the worker without committing.

While the worker is halted (``ingest.rejections``), documents wait, and the records behind them are taken nevertheless,
up to a bound: deletes and changes of access of other documents need nothing that a halted worker lacks.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from chassis.clock import Clock
from chassis.errors import Defect, Disposition, HeadwaterError, disposition_of
from chassis.eventlog.offsets import ContiguousOffsets
from chassis.eventlog.port import Consumer, Partition, Record
from chassis.telemetry.metrics import INGEST_OLDEST_AGE, INGEST_REBALANCES
from ingest.domain import Lane
from ingest.handle import RecordInWork
from ingest.known_bad import INGEST_HALTED

_log = structlog.get_logger()

POLL_SECONDS = 1.0
COMMIT_EVERY_SECONDS = 0.2
"""Bounds what a crash makes the next worker look at again; redelivered changes cost one ledger read each."""
HEARTBEAT_SECONDS = 5.0
"""A quarter of the time without a poll after which the log may hand the partitions to another member."""
YIELDING_SHARE = 4
"""A backfill goes on beside steady live changes, which mostly find parsers and embedder free."""
MOST_HELD = 200
"""Records that wait for the end of a halt. Each is tried every few seconds, which costs some reads of stores."""
FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 10.0


class RecordHandler(Protocol):
    """What is done with each record; see ``ingest.handle`` for the terms."""

    @property
    def clock(self) -> Clock: ...

    async def attempt(self, work: RecordInWork) -> None: ...

    async def give_up(self, work: RecordInWork) -> None: ...


@dataclass(slots=True)
class ChangeConsumer:
    """Consumes document changes until it is stopped. Only ``run`` talks to the log's consumer, which is not made for
    concurrent use."""

    consumer: Consumer
    handler: RecordHandler
    max_in_flight: int
    lane: str = Lane.LIVE
    """As metrics call it."""
    yields_to: ChangeConsumer | None = None
    """While that one has work, this one takes no more than a quarter of its share."""
    _offsets: ContiguousOffsets = field(default_factory=ContiguousOffsets)
    _running: dict[asyncio.Task[bool], Record] = field(default_factory=dict)
    _last_of_key: dict[bytes, asyncio.Task[bool]] = field(default_factory=dict)
    _backing_off: Counter[Partition] = field(default_factory=Counter)
    _before: dict[asyncio.Task[bool], asyncio.Task[bool]] = field(default_factory=dict)
    """Whom the changes of a document wait for that are not its first ones."""
    _held: set[asyncio.Task[bool]] = field(default_factory=set)
    """What a halt met, until it is done, and what waits behind it."""
    _held_in_work: int = 0
    _turns: asyncio.Semaphore = field(init=False)
    _failure: BaseException | None = None
    _joined: bool = False
    _stopping: bool = False
    _last_poll: float = 0.0
    _last_commit: float = 0.0

    def __post_init__(self) -> None:
        # After a halt, what was held goes on beside what comes anew, and not all at once.
        self._turns = asyncio.Semaphore(max(self.max_in_flight // YIELDING_SHARE, 1))

    @property
    def is_busy(self) -> bool:
        """Whether records are in work."""
        return self._in_work() > 0

    def _in_work(self) -> int:
        return len(self._running) - len(self._held) + self._held_in_work

    async def run(self) -> None:
        """Consumes until cancelled, or until an event fails in a way that only a restart may mend (raised)."""
        try:
            while self._failure is None:
                try:
                    await self._step()
                except HeadwaterError as error:
                    if disposition_of(error) is not Disposition.BACK_OFF:
                        raise
                    _log.warning("event_log_unavailable", reason=error.reason)
                    await asyncio.sleep(FIRST_BACK_OFF_SECONDS)
            raise self._failure
        finally:
            await self._give_up(list(self._running))
            await self._commit_what_is_done()
            await self.consumer.stop()

    async def drain(self, seconds: float) -> None:
        """Takes no new record and waits, at most so long, for those in work."""
        self._stopping = True
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)

    async def _step(self) -> None:
        if not self._joined:
            await self.consumer.start(self._on_revoked)
            self._joined = True
        room = 0 if self._stopping or len(self._held) >= MOST_HELD else self._share() - self._in_work()
        if room > 0:
            # Wakes up to commit as long as something is in work.
            await self._take(room, COMMIT_EVERY_SECONDS if self._running else POLL_SECONDS)
        else:
            await self._wait_for_room()
        if _now() - self._last_commit >= COMMIT_EVERY_SECONDS or not self._running:
            await self._commit()
        self._report_age()

    def _share(self) -> int:
        yielding = self.yields_to is not None and self.yields_to.is_busy
        return max(self.max_in_flight // YIELDING_SHARE, 1) if yielding else self.max_in_flight

    def _report_age(self) -> None:
        oldest_ms = min((record.timestamp_ms for record in self._running.values()), default=None)
        now = self.handler.clock.now().timestamp()
        INGEST_OLDEST_AGE.set(0.0 if oldest_ms is None else max(now - oldest_ms / 1000, 0.0), lane=self.lane)

    async def _take(self, room: int, timeout_seconds: float) -> None:
        self._last_poll = _now()
        records = await self.consumer.poll(room, timeout_seconds)
        if self._stopping:
            return  # not begun, so not committed: whoever comes next gets them
        for record in records:
            self._start(record)

    async def _wait_for_room(self) -> None:
        if self._running:
            await asyncio.wait(set(self._running), timeout=COMMIT_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(COMMIT_EVERY_SECONDS)  # stopping: until somebody cancels
        if _now() - self._last_poll > HEARTBEAT_SECONDS and not self._stopping:
            held = self.consumer.assignment()
            self.consumer.pause(held)
            try:
                await self._take(1, 0.0)  # one record at most, of a partition that came with this very poll
            finally:
                self.consumer.resume(held - self._backing_off.keys())

    def _start(self, record: Record) -> None:
        self._offsets.start(record.partition, record.offset)
        # Without a key a record is about nothing that others are known to be about: connectors leave it out where order
        # means nothing to them.
        before = self._last_of_key.get(record.key) if record.key else None
        task = asyncio.create_task(self._handle_in_order(record, before), name="apply-change")
        if record.key:
            self._last_of_key[record.key] = task
        self._running[task] = record
        if before is not None:
            self._before[task] = before
            if before in self._held:
                self._held.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[bool]) -> None:
        record = self._running.pop(task)
        self._before.pop(task, None)
        self._held.discard(task)
        if self._last_of_key.get(record.key) is task:
            del self._last_of_key[record.key]
        error: BaseException | None
        if task.cancelled():
            # Given up by us, or else a piece of work was cancelled that nobody asked to be: the event is not done.
            error = None if task.cancelling() else Defect("The handling of a change was cancelled from within.")
        else:
            error = task.exception()
            if error is None and task.result():
                self._offsets.done(record.partition, record.offset)
        self._failure = self._failure or error

    async def _handle_in_order(self, record: Record, before: asyncio.Task[bool] | None) -> bool:
        """Whether the record is done; raises what stops the worker."""
        if before is not None:
            await asyncio.wait({before})
            if not before.cancelled() and (before.exception() is not None or not before.result()):
                return False  # the worker stops; this record comes after the one that failed
        work = RecordInWork(record)
        try:
            while (error := await self._attempt_in_turn(work)) is not None:
                if error.reason == INGEST_HALTED:
                    await self._hold(error, work.attempts)
                else:
                    await self._back_off(record.partition, error, work.attempts)
        except asyncio.CancelledError:
            await self.handler.give_up(work)
            raise
        return True

    async def _attempt_in_turn(self, work: RecordInWork) -> HeadwaterError | None:
        if asyncio.current_task() not in self._held:
            return await self._attempt(work)
        async with self._turns:
            self._held_in_work += 1
            try:
                return await self._attempt(work)
            finally:
                self._held_in_work -= 1

    async def _attempt(self, work: RecordInWork) -> HeadwaterError | None:
        """None when the record is done, otherwise why it has to be attempted again; raises what stops the worker."""
        try:
            await self.handler.attempt(work)
        except HeadwaterError as error:
            if disposition_of(error) is not Disposition.BACK_OFF:
                raise
            return error
        return None

    async def _hold(self, error: HeadwaterError, attempts: int) -> None:
        """Until a record may be tried again that a halt met. Those that come behind it are taken meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        if task not in self._held:
            self._held.add(task)
            # In the order in which they were taken, so whoever waits for one of these comes later.
            self._held.update(each for each in self._running if self._before.get(each) in self._held)
        # Not all at one pace, or it might be the same ones that are tried each time.
        await asyncio.sleep(_wait_seconds(error, attempts) * random.uniform(0.5, 1.0))  # noqa: S311

    async def _back_off(self, partition: Partition, error: HeadwaterError, attempts: int) -> None:
        wait = _wait_seconds(error, attempts)
        _log.warning("backing_off", reason=error.reason, partition=partition.index, seconds=wait, attempts=attempts)
        self._backing_off[partition] += 1
        self.consumer.pause({partition})
        try:
            await asyncio.sleep(wait)
        finally:
            self._backing_off[partition] -= 1
            if not self._backing_off[partition]:
                del self._backing_off[partition]
                self.consumer.resume({partition})

    async def _on_revoked(self, partitions: Collection[Partition]) -> None:
        """Another member goes on with these: what is in work there is given up, what is done is committed."""
        INGEST_REBALANCES.add(lane=self.lane)
        await self._give_up([task for task, record in self._running.items() if record.partition in partitions])
        await self._commit_what_is_done()
        self._offsets.forget(partitions)

    async def _give_up(self, tasks: Collection[asyncio.Task[bool]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _commit_what_is_done(self) -> None:
        try:
            await self._commit()
        except HeadwaterError as error:
            # Nothing is lost: what is not committed is handed out again.
            _log.warning("commit_failed", reason=error.reason)

    async def _commit(self) -> None:
        self._last_commit = _now()
        offsets = self._offsets.committable()
        if offsets:
            await self.consumer.commit(offsets)
            self._offsets.mark_committed(offsets)


def _wait_seconds(error: HeadwaterError, attempts: int) -> float:
    wait: float = min(FIRST_BACK_OFF_SECONDS * 2 ** min(attempts - 1, 10), LONGEST_BACK_OFF_SECONDS)
    return max(wait, min(error.retry_after_seconds or 0, LONGEST_BACK_OFF_SECONDS))


def _now() -> float:
    return asyncio.get_running_loop().time()
