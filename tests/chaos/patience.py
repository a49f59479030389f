"""A caller who repeats what had no outcome, as a source or a person would."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tests.faults.generator import UNKNOWN_OUTCOME

from headwater import Client

SECONDS = 300.0
"""For everything that only has to end at all."""
PAUSE_SECONDS = 0.1


class Patient:
    """A ``Client`` whose calls are repeated while they are refused for want of room, cut off or out of time; iterators
    excepted. What is measured with it includes the repetitions."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Patient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        def repeated(*arguments: Any, **options: Any) -> Any:
            deadline = time.monotonic() + SECONDS
            while True:
                try:
                    return call(*arguments, **options)
                except UNKNOWN_OUTCOME:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(PAUSE_SECONDS)  # or the repetition would be load of its own

        return repeated
