"""One queue of texts before the encoder, shared by all callers.

Worker threads take forward passes straight from the queue: an event loop that is busy with something else then never
keeps a core from its next pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from chassis.errors import DependencyUnavailable, HeadwaterError, Overloaded
from inference.domain import Priority

Item = TypeVar("Item")
Result = TypeVar("Result")

_BULK_SHARE: Final = 8
"""After this many interactive passes in a row one bulk pass is made, or ingestion would stand still under load."""
_ALIKE: Final = 0.75
"""Bulk texts join a pass only at this share of its length or more: there is no hurry that would justify padding."""
_SMOOTHING: Final = 0.1
"""Weight of the newest pass in the average speed behind the retry hint."""
_RETRY_SECONDS: Final = (0.05, 5.0)
"""Bounds of the hint: below, a retry finds the same queue; above, callers give up."""

QueueLimits = Mapping[Priority, int]
DEFAULT_LIMITS: Final[QueueLimits] = MappingProxyType({Priority.INTERACTIVE: 30_000, Priority.BULK: 500_000})
"""About three and fifty seconds of work on two cores: what waits longer has been given up by its caller."""


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one forward pass took.

    Attributes:
        waited_seconds: For each item, from its submission to the start of the pass.
        work_seconds: The pass itself.
        tokens: Tokens of its items.
        padded_tokens: The same with every item as long as the longest.
    """

    waited_seconds: tuple[float, ...]
    work_seconds: float
    tokens: int
    padded_tokens: int


@dataclass(slots=True)
class _Job(Generic[Item, Result]):
    """One call of `submit`."""

    items: Sequence[Item]
    lengths: Sequence[int]
    order: deque[int]
    """Indices not yet taken, longest first."""
    left: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Result]]
    priority: Priority
    submitted: float
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def waiting_tokens(self) -> int:
        return sum(self.lengths[i] for i in self.order)


_Taken = list[tuple[_Job[Item, Result], int]]


class TokenBudgetBatcher(Generic[Item, Result]):
    """Runs items in forward passes, across callers and by priority. Call `submit` from any event loop.

    Nothing lingers: a free worker takes what is there. Interactive items go first, callers taking turns; bulk items
    follow in order of arrival. A query that arrives while bulk work runs waits for one pass at most.

    Args:
        run: One forward pass, blocking and thread-safe: results in the order of the items.
        tokens_of: Length of an item.
        workers: Passes that run at once.
        pass_tokens: Most padded tokens of a pass; 1 makes a pass of every item. One longer item always fits.
        max_queued_tokens: Most tokens waiting, for each priority apart: bulk work can't crowd out queries.
        observer: Called from worker threads after each pass; must be quick.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        tokens_of: Callable[[Item], int],
        *,
        workers: int,
        pass_tokens: int = 1,
        max_queued_tokens: QueueLimits = DEFAULT_LIMITS,
        observer: Callable[[PassRecord], None] = lambda record: None,
    ) -> None:
        self._run = run
        self._tokens_of = tokens_of
        self._pass_tokens = pass_tokens
        self._max_queued_tokens = max_queued_tokens
        self._observer = observer
        self._lanes: dict[Priority, deque[_Job[Item, Result]]] = {p: deque() for p in Priority}
        self._queued = dict.fromkeys(Priority, 0)
        self._interactive_in_a_row = 0
        self._tokens_per_second = 0.0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"encoder-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    def queued_tokens(self, priority: Priority) -> int:
        """Tokens waiting now."""
        return self._queued[priority]

    async def submit(self, items: Sequence[Item], priority: Priority) -> list[Result]:
        """Runs all items and returns their results in order. If the caller is cancelled, what has not begun is dropped.

        Raises:
            DependencyUnavailable: The batcher is closed.
            Overloaded: The queue of this priority is full; with the time in which it should empty.
            Exception: Whatever the forward pass raised.
        """
        if not items:
            return []
        job = self._job(items, priority)
        self._enqueue(job)
        try:
            return await job.future
        finally:
            # After success nothing is left to drop; after a cancellation the rest must not cost a pass.
            self._drop(job)

    @property
    def works(self) -> bool:
        """Whether passes are made: it is not closed, and no worker has died."""
        return not self._closed and all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Ends the workers after their pass; who still waits gets DependencyUnavailable. Idempotent, blocking."""
        with self._changed:
            self._closed = True
            abandoned = [job for lane in self._lanes.values() for job in lane]
            for lane in self._lanes.values():
                lane.clear()
            self._changed.notify_all()
        for job in abandoned:
            _call_loop(job.loop, _fail, job.future, _closing())
        for thread in self._threads:
            thread.join()

    def _job(self, items: Sequence[Item], priority: Priority) -> _Job[Item, Result]:
        lengths = [self._tokens_of(item) for item in items]
        loop = asyncio.get_running_loop()
        return _Job(
            items=items,
            lengths=lengths,
            order=deque(sorted(range(len(items)), key=lambda i: -lengths[i])),
            left=len(items),
            loop=loop,
            future=loop.create_future(),
            priority=priority,
            submitted=time.monotonic(),
        )

    def _enqueue(self, job: _Job[Item, Result]) -> None:
        tokens = sum(job.lengths)
        with self._changed:
            queued = self._queued[job.priority]
            if self._closed:
                raise _closing()
            # A request longer than the whole queue is still served, once the queue is empty.
            if queued and queued + tokens > self._max_queued_tokens[job.priority]:
                raise self._overloaded(queued)
            self._queued[job.priority] += tokens
            self._lanes[job.priority].append(job)
            self._changed.notify(len(job.items))

    def _overloaded(self, queued: int) -> Overloaded:
        shortest, longest = _RETRY_SECONDS
        seconds = queued / self._tokens_per_second if self._tokens_per_second else longest
        return Overloaded(
            "More text is waiting than the encoder has room for: retry after the given delay.",
            retry_after_seconds=min(longest, max(shortest, seconds)),
        )

    def _drop(self, job: _Job[Item, Result]) -> None:
        with self._changed:
            self._queued[job.priority] -= job.waiting_tokens
            job.order.clear()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (taken := self._take()):
                    if self._closed:
                        return
                    self._changed.wait()
            self._pass(taken)

    def _take(self) -> _Taken[Item, Result]:
        """The items of the next pass; the caller holds the lock."""
        priority = self._next_lane()
        lane = self._lanes[priority]
        taken: _Taken[Item, Result] = []
        longest = 0
        for job, index in self._candidates(lane):
            length = job.lengths[index]
            width = max(longest, length)
            too_wide = (len(taken) + 1) * width > self._pass_tokens
            unlike = priority is Priority.BULK and min(longest, length) < _ALIKE * width
            if taken and (too_wide or unlike):
                break
            job.order.popleft()
            self._queued[priority] -= length
            taken.append((job, index))
            longest = width
        while lane and not lane[0].order:
            lane.popleft()
        if taken and priority is Priority.INTERACTIVE and len(lane) > 1:
            lane.rotate(-1)
        return taken

    def _next_lane(self) -> Priority:
        waiting = [priority for priority in Priority if any(job.order for job in self._lanes[priority])]
        if waiting == [Priority.INTERACTIVE, Priority.BULK] and self._interactive_in_a_row >= _BULK_SHARE:
            waiting.reverse()
        chosen = waiting[0] if waiting else Priority.INTERACTIVE
        self._interactive_in_a_row = self._interactive_in_a_row + 1 if chosen is Priority.INTERACTIVE else 0
        return chosen

    @staticmethod
    def _candidates(lane: deque[_Job[Item, Result]]) -> Iterator[tuple[_Job[Item, Result], int]]:
        for job in lane:
            while job.order:
                yield job, job.order[0]

    def _pass(self, taken: _Taken[Item, Result]) -> None:
        started = time.monotonic()
        try:
            results = self._run([job.items[index] for job, index in taken])
            seconds = time.monotonic() - started
            lengths = [job.lengths[index] for job, index in taken]
            waits = tuple(started - job.submitted for job, _ in taken)
            self._observer(PassRecord(waits, seconds, sum(lengths), len(lengths) * max(lengths)))
        except Exception as error:  # handed to the callers: here it would only end this thread, and they would wait
            for job in {id(job): job for job, _ in taken}.values():
                self._drop(job)
                _call_loop(job.loop, _fail, job.future, error)
            return
        with self._changed:
            speed = sum(lengths) * len(self._threads) / max(seconds, 1e-6)
            self._tokens_per_second += _SMOOTHING * (speed - self._tokens_per_second)
            finished = self._store(taken, results)
        for job in finished:
            _call_loop(job.loop, _resolve, job.future, [job.results[i] for i in range(len(job.items))])

    @staticmethod
    def _store(taken: _Taken[Item, Result], results: Sequence[Result]) -> list[_Job[Item, Result]]:
        finished = []
        for (job, index), result in zip(taken, results, strict=True):
            job.results[index] = result
            job.left -= 1
            if not job.left:
                finished.append(job)
        return finished


def _closing() -> HeadwaterError:
    return DependencyUnavailable(
        "The encoder is shutting down: ask another replica.", reason="SHUTTING_DOWN", retry_after_seconds=1.0
    )


def _call_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    # A loop that is closed has nobody left who waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)


def _resolve(future: asyncio.Future[list[Result]], results: list[Result]) -> None:
    if not future.done():
        future.set_result(results)


def _fail(future: asyncio.Future[list[Result]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
