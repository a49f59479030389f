"""Work beside a scenario's own: callers that go on until it has seen enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

Work = Callable[[threading.Event], None]
"""Returns soon after the event is set."""


@contextmanager
def beside(*works: Work) -> Iterator[None]:
    """Runs each work in a thread of its own, and tells them to stop when the block is left, however it is left: a
    scenario that fails must end. Raises what a work raised, unless the block raises."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(work, stop) for work in works]
        try:
            yield
        finally:
            stop.set()
    for each in running:
        each.result()
