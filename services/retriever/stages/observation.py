"""Times the stages of a search: for each a span, a metric, and a line in the reply."""

from __future__ import annotations

import time
from types import TracebackType

from opentelemetry.context import attach, detach
from opentelemetry.trace import Span, StatusCode, set_span_in_context

from chassis.errors import HeadwaterError
from chassis.telemetry import names, tracer
from chassis.telemetry.metrics import RETRIEVAL_STAGE_DURATION
from retriever.domain import StageTiming

_tracer = tracer("retriever")


class SpanScope:
    """A current span that notes the class of what is raised, and never its text, which may quote a question.

    A class, for a search has a dozen of them: the generators of ``start_as_current_span`` cost twice the span.
    """

    __slots__ = ("_name", "_span", "_token")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Span:
        self._span = _tracer.start_span(self._name)
        self._token = attach(set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        detach(self._token)
        if error is not None:
            self._span.set_attribute(names.ERROR_TYPE, type(error).__name__)
            if isinstance(error, HeadwaterError):
                self._span.set_attribute(names.ERROR_REASON, error.reason)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Stopwatch:
    """Measures one search, or one batch. Stages may run at the same time and more than once; repetitions add up."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def stage(self, name: str) -> StageScope:
        """Measures the enclosed work as stage ``name``; gives its span."""
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
        super().__init__(f"retrieval.{stage}")
        self._watch = watch
        self._stage = stage

    def __enter__(self) -> Span:
        span = super().__enter__()
        span.set_attribute(names.STAGE, self._stage)
        self._started = time.perf_counter()
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.note(self._stage, time.perf_counter() - self._started)
        super().__exit__(kind, error, traceback)
