"""Traces: tracers that may be obtained before set-up, and trace context on event-log records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.errors import HeadwaterError
from chassis.telemetry import names
from chassis.telemetry.spans import child_of_current

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_propagator = TraceContextTextMapPropagator()
_content_allowed = False
_provider: trace.TracerProvider = trace.NoOpTracerProvider()


class _LateTracer(trace.Tracer):
    """Looks its provider up at the first span after each set-up, so it may be created at import time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._provider: trace.TracerProvider | None = None
        self._tracer: trace.Tracer = trace.NoOpTracer()

    def _current(self) -> trace.Tracer:
        if self._provider is not _provider:
            self._provider = _provider
            self._tracer = _provider.get_tracer(self._name)
        return self._tracer

    def start_span(  # type: ignore[override]
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> trace.Span:
        tracer = self._current()
        if context is None and not others:
            child = child_of_current(tracer, name, kind, attributes)
            if child is not None:
                return child
        return tracer.start_span(name, context, kind, attributes, **others)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> SpanScope:  # type: ignore[override]
        """As OpenTelemetry's, but see ``SpanScope`` for what is raised."""
        return SpanScope(self.start_span(*args, **kwargs))


class SpanScope:
    """A span that is current within, and ended after. What is raised leaves its class and reason on the span and never
    its text or traceback: an exception may quote the document it choked on.

    A class, as is ``current``: a search has a dozen spans, and a generator around each costs as much as the span.
    """

    __slots__ = ("_scope", "_span")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._scope = current(span)

    def __enter__(self) -> trace.Span:
        self._scope.__enter__()
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, traceback)
        if error is not None:
            self._span.set_attribute(names.ERROR_TYPE, type(error).__name__)
            if isinstance(error, HeadwaterError):
                self._span.set_attribute(names.ERROR_REASON, error.reason)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class current:  # noqa: N801 - reads as the verb it was made for: with current(span)
    """Makes ``span`` the current one within, without ending it or noting what is raised on it."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._token = attach(trace.set_span_in_context(self._span))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        detach(self._token)


def tracer(name: str) -> trace.Tracer:
    """A tracer for one component. May be called at import time: it records once telemetry is set up."""
    return _LateTracer(name)


def use(provider: trace.TracerProvider) -> None:
    """Sends the spans of every tracer to ``provider``; called by the set-up. OpenTelemetry's own global is left alone:
    it can be set only once per process, and what libraries would trace by themselves is not wanted."""
    global _provider
    _provider = provider


def current_trace_id() -> str:
    """The trace id of the current span as 32 hex digits, "" outside of one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def inject(headers: dict[str, bytes]) -> None:
    """Writes the current trace context into the headers of an event-log record (W3C ``traceparent``)."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    headers.update({key: value.encode("ascii") for key, value in carrier.items()})


def extract(headers: Mapping[str, bytes]) -> Context:
    """The trace context in the headers of a record, to start a span in: ``start_as_current_span(...,
    context=extract(h))``.

    Headers that are missing or damaged give an empty context, so a new trace starts.
    """
    carrier = {
        key: headers[key].decode("ascii", errors="replace") for key in ("traceparent", "tracestate") if key in headers
    }
    return _propagator.extract(carrier, Context())


def content_allowed() -> bool:
    """Whether spans may hold text of questions and documents (setting ``trace_content``)."""
    return _content_allowed


def allow_content(allowed: bool) -> None:
    """Sets what ``content_allowed`` answers; called by the set-up."""
    global _content_allowed
    _content_allowed = allowed


def set_content(span: trace.Span, name: str, text: str) -> None:
    """Puts text of a question or document on ``span`` if that is allowed, and its length in any case."""
    span.set_attribute(f"{name}.length", len(text))
    if _content_allowed:
        span.set_attribute(name, text)


def traceparent(span: trace.Span) -> str | None:
    """The W3C ``traceparent`` that makes ``span`` the parent on the other side; None when it isn't part of a trace."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def parent_context(header: str | bytes) -> Context:
    """The trace context in the ``traceparent`` of an RPC's metadata; empty when it is damaged."""
    match = _TRACEPARENT.fullmatch(header) if isinstance(header, str) else None
    if match is None:
        return Context()
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    parent = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags & 1))
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context()) if parent.is_valid else Context()
