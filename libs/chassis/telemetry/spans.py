"""Spans below another span of this process, at a third of what the SDK's cost.

A search has a dozen spans, and the SDK pays for generality with each: a sampler that says again what the parent's said,
attributes that are validated, copied and locked, bounded lists for events that nobody adds. Spans that begin a trace or
continue a remote one stay the SDK's, which decides whether they are recorded; what is below follows them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

_UNSET: Final = Status(StatusCode.UNSET)


class ChildSpan(trace.Span, ReadableSpan):
    """A recorded span whose parent is recorded in this process. Exporters get it itself, so nothing changes after
    ``end``. Limits that the SDK reads from its own environment variables don't hold here."""

    _attributes: dict[str, Any]
    _events: list[Event]
    _links: list[Link]

    def __init__(
        self, name: str, parent: SpanContext, tracer: SdkTracer, kind: SpanKind, attributes: Mapping[str, Any] | None
    ) -> None:
        span_id = 0
        while not span_id:  # zero means none
            span_id = random.getrandbits(64)
        ReadableSpan.__init__(
            self,
            name=name,
            context=SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state),
            parent=parent,
            resource=tracer.resource,
            attributes={},
            events=[],
            links=[],
            kind=kind,
            status=_UNSET,
            start_time=time.time_ns(),
            instrumentation_scope=tracer._instrumentation_scope,
        )
        self._processor = tracer.span_processor
        if attributes:
            self.set_attributes(attributes)

    def end(self, end_time: int | None = None) -> None:
        """Hands the span to the exporters. Only the first call counts."""
        if self._end_time is None:
            self._end_time = time.time_ns() if end_time is None else end_time
            self._processor.on_end(self)

    def get_span_context(self) -> SpanContext:
        """What children and other processes name it by."""
        context = self._context
        assert context is not None
        return context

    def is_recording(self) -> bool:
        """Whether it goes on."""
        return self._end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        """Notes a string, a number, a truth value, or several of one kind; anything else is left out, as the SDK
        does."""
        if self._end_time is not None:
            return
        if isinstance(value, (str, int, float)):
            self._attributes[key] = value
        elif isinstance(value, (list, tuple)):
            self._attributes[key] = tuple(value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Notes several."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Notes that something happened."""
        if self._end_time is None:
            self._events.append(Event(name, attributes, timestamp))

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Names another trace that belongs to this one."""
        if self._end_time is None:
            self._links.append(Link(context, attributes))

    def update_name(self, name: str) -> None:
        """Replaces the name."""
        if self._end_time is None:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Says how it went. "Ok" is final, and nothing becomes unset again."""
        given = status if isinstance(status, Status) else Status(status, description)
        if self._end_time is None and not given.is_unset and self._status.status_code is not StatusCode.OK:
            self._status = given

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Notes the class alone: the text may quote a document."""
        self.add_event("exception", {**(attributes or {}), "exception.type": type(exception).__name__}, timestamp)


def child_of_current(
    tracer: trace.Tracer, name: str, kind: SpanKind, attributes: Mapping[str, Any] | None
) -> ChildSpan | None:
    """A span below the current one; None where that is not recorded here, or nothing is."""
    current = trace.get_current_span()
    if not (isinstance(current, ReadableSpan) and isinstance(tracer, SdkTracer) and current.is_recording()):
        return None
    return ChildSpan(name, current.get_span_context(), tracer, kind, attributes)
