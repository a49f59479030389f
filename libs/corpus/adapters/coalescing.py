"""Joins concurrent calls into groups: what arrives while a group is worked on forms the next group.

Nothing lingers: an idle key starts at once, so a lone call pays no delay, and under load groups grow by themselves.
One commit then serves many writes, and one matrix product many searches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from chassis.errors import DependencyUnavailable

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Lane(Generic[T, R]):
    waiting: deque[tuple[T, asyncio.Future[R]]] = field(default_factory=deque)
    runner: asyncio.Task[None] | None = None


class Coalescer(Generic[K, T, R]):
    """Runs items of one key in groups, one group at a time per key, in the order in which they were handed in.

    Used from one event loop. ``work`` runs in ``executor`` and gives one result per item, in order; a result that is
    an exception is raised to that item's caller alone. An exception out of ``work`` itself is raised to every caller
    of the group.
    """

    def __init__(
        self,
        work: Callable[[K, Sequence[T]], Sequence[R | BaseException]],
        executor: Executor,
        *,
        max_group: int,
        name: str,
    ) -> None:
        self._work = work
        self._executor = executor
        self._max_group = max_group
        self._name = name
        self._lanes: dict[K, _Lane[T, R]] = {}
        self._closed = False

    async def run(self, key: K, item: T) -> R:
        """Result for one item. A caller that is cancelled leaves; its item may or may not be worked on."""
        if self._closed:
            raise DependencyUnavailable(f"The {self._name} is closed.", reason="CLOSED")
        lane = self._lanes.setdefault(key, _Lane())
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        lane.waiting.append((item, result))
        if lane.runner is None:
            lane.runner = asyncio.create_task(self._drain(key, lane), name=f"{self._name}:{key}")
        return await result

    async def close(self) -> None:
        """Lets what was handed in finish, and refuses what comes later. Idempotent."""
        self._closed = True
        runners = [lane.runner for lane in self._lanes.values() if lane.runner is not None]
        await asyncio.gather(*runners)

    async def _drain(self, key: K, lane: _Lane[T, R]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while lane.waiting:
                group = self._take(lane)
                if not group:
                    continue
                items = [item for item, _ in group]
                try:
                    results = await loop.run_in_executor(self._executor, self._work, key, items)
                except Exception as error:
                    results = [_copy_of(error) for _ in group]
                for (_, result), value in zip(group, results, strict=True):
                    _settle(result, value)
        finally:
            self._lanes.pop(key, None)
            for _, result in lane.waiting:
                result.cancel()

    def _take(self, lane: _Lane[T, R]) -> list[tuple[T, asyncio.Future[R]]]:
        group: list[tuple[T, asyncio.Future[R]]] = []
        while lane.waiting and len(group) < self._max_group:
            item, result = lane.waiting.popleft()
            # Nobody waits for the result of a cancelled call any more.
            if not result.done():
                group.append((item, result))
        return group


def _settle(result: asyncio.Future[R], value: R | BaseException) -> None:
    if result.done():
        return
    if isinstance(value, BaseException):
        result.set_exception(value)
    else:
        result.set_result(value)


def _copy_of(error: Exception) -> Exception:
    # Callers raise their exception independently; a shared one would collect all of their tracebacks.
    if isinstance(error, DependencyUnavailable):
        return DependencyUnavailable(
            error.message,
            reason=error.reason,
            metadata=error.metadata,
            retry_after_seconds=error.retry_after_seconds,
        )
    return error
