"""Times the stages of a search: for each a span, a metric, and a line in the reply."""

from __future__ import annotations

import time
from types import TracebackType

from chassis.telemetry import names, tracer
from chassis.telemetry.metrics import RETRIEVAL_STAGE_DURATION
from chassis.telemetry.tracing import SpanScope
from retriever.domain import StageTiming

_tracer = tracer("retriever")


class Stopwatch:
    """Measures one search, or one batch. Stages may run at the same time and more than once; repetitions add up."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def stage(self, name: str) -> StageScope:
        """Measures the enclosed work as stage ``name``, from now on; gives its span."""
        return StageScope(self, name)

    def note(self, name: str, seconds: float) -> None:
        """Adds to what a stage took."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        RETRIEVAL_STAGE_DURATION.record(seconds, stage=name)

    def timings(self) -> tuple[StageTiming, ...]:
        """What was measured so far, in the order in which the stages ended first."""
        return tuple(StageTiming(name, seconds * 1000) for name, seconds in self._seconds.items())


class StageScope(SpanScope):
    """The span of one stage, whose length goes to the stopwatch as well."""

    __slots__ = ("_stage", "_started", "_watch")

    def __init__(self, watch: Stopwatch, stage: str) -> None:
        super().__init__(_tracer.start_span(f"retrieval.{stage}", attributes={names.STAGE: stage}))
        self._watch = watch
        self._stage = stage
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.note(self._stage, time.perf_counter() - self._started)
        super().__exit__(kind, error, traceback)
