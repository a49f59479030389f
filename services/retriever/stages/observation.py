"""Times the stages of a search: for each a span, a metric, and a line in the reply."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span

from chassis.telemetry import names, tracer
from chassis.telemetry.metrics import RETRIEVAL_STAGE_DURATION
from retriever.domain import StageTiming

_tracer = tracer("retriever")


@contextmanager
def span_of(name: str) -> Iterator[Span]:
    """A current span that notes the class of what is raised, and never its text, which may quote a question."""
    with _tracer.start_as_current_span(name) as span:
        yield span


class Stopwatch:
    """Measures one search, or one batch. Stages may run at the same time and more than once; repetitions add up."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Span]:
        """Measures the enclosed work as stage ``name``."""
        with span_of(f"retrieval.{name}") as span:
            span.set_attribute(names.STAGE, name)
            started = time.perf_counter()
            try:
                yield span
            finally:
                seconds = time.perf_counter() - started
                self._seconds[name] = self._seconds.get(name, 0.0) + seconds
                RETRIEVAL_STAGE_DURATION.record(seconds, stage=name)

    def timings(self) -> tuple[StageTiming, ...]:
        """What was measured so far, in the order in which the stages ended first."""
        return tuple(StageTiming(name, seconds * 1000) for name, seconds in self._seconds.items())
