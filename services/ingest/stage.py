"""The stages of one document's indexing: each a span and a metric."""

from __future__ import annotations

import time
from types import TracebackType

from chassis.telemetry import tracer
from chassis.telemetry.metrics import INGEST_STAGE_DURATION
from chassis.telemetry.tracing import SpanScope

_tracer = tracer("ingest")


class Stage(SpanScope):
    """The enclosed work is stage ``name``; gives its span."""

    __slots__ = ("_name", "_started")

    def __init__(self, name: str) -> None:
        super().__init__(_tracer.start_span(name))
        self._name = name
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        INGEST_STAGE_DURATION.record(time.perf_counter() - self._started, stage=self._name)
        super().__exit__(kind, error, traceback)
