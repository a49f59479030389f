"""An event loop whose time passes only when nothing is left to do, and where nothing runs beside it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a while it says that the while has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("Deadlock: nothing is ready, and nothing is planned.")
            self.now += timeout
        # Nothing takes no time at all: or else a wait that rounding made endlessly short would never be over.
        self.now += 1e-6
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic: the same program takes the same course."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.set_default_executor(_InlineExecutor(max_workers=1))

    def time(self) -> float:
        return self._jumping.now


class _InlineExecutor(ThreadPoolExecutor):
    """Runs what goes to a thread at once, in the only thread there is."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class LoopClock:
    """Wall time that follows a loop's time."""

    def __init__(self, start: datetime, time: Callable[[], float]) -> None:
        self._start, self._time = start, time
        self._ahead = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._time() + self._ahead)

    def monotonic(self) -> float:
        return self._time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


def run(program: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Runs a program in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(program(loop))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
