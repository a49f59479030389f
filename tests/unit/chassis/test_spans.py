from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from chassis.errors import DependencyUnavailable
from chassis.telemetry import tracer, tracing
from chassis.telemetry.spans import ChildSpan


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    before, exporter = tracing._provider, InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(before)


def one(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    (span,) = [each for each in exporter.get_finished_spans() if each.name == name]
    return span


def test_spans_below_another_belong_to_its_trace(exported: InMemorySpanExporter) -> None:
    with (
        tracer("test").start_as_current_span("search") as root,
        tracer("test").start_as_current_span("leg", kind=trace.SpanKind.CLIENT, attributes={"k": 1}) as leg,
    ):
        assert isinstance(leg, ChildSpan)
        assert not isinstance(root, ChildSpan)
        leg.set_attribute("names", ["a", "b"])
        leg.set_attribute("unheard of", object())
        with tracer("test").start_as_current_span("read"):
            pass
    above, below, deepest = (one(exported, name) for name in ("search", "leg", "read"))
    assert below.parent == above.get_span_context()
    assert deepest.parent == below.get_span_context()
    assert {each.get_span_context().trace_id for each in (above, below, deepest)} == {root.get_span_context().trace_id}
    assert len({each.get_span_context().span_id for each in (above, below, deepest)}) == 3
    assert dict(below.attributes or {}) == {"k": 1, "names": ("a", "b")}
    assert (below.kind, below.resource) == (trace.SpanKind.CLIENT, above.resource)
    times = [above.start_time, below.start_time, deepest.end_time, below.end_time, above.end_time]
    assert times == sorted(time or 0 for time in times)


def test_what_ended_does_not_change_and_is_exported_once(exported: InMemorySpanExporter) -> None:
    with tracer("test").start_as_current_span("search"):
        span = tracer("test").start_span("leg")
        span.set_status(trace.StatusCode.OK)
        span.set_status(trace.StatusCode.ERROR)
        span.record_exception(ValueError("a secret sentence"))
        span.add_link(trace.SpanContext(1, 2, is_remote=True))
        span.end()
        assert not span.is_recording()
        span.set_attribute("late", True)
        span.set_status(trace.StatusCode.ERROR)
        span.end()
    leg = one(exported, "leg")
    assert leg.status.status_code is trace.StatusCode.OK
    assert not leg.attributes
    assert [event.name for event in leg.events] == ["exception"]
    assert "secret" not in leg.to_json()
    assert [link.context.trace_id for link in leg.links] == [1]


def test_an_error_leaves_its_class_and_not_its_text(exported: InMemorySpanExporter) -> None:
    with (
        pytest.raises(DependencyUnavailable),
        tracer("test").start_as_current_span("search"),
        tracer("test").start_as_current_span("leg"),
    ):
        raise DependencyUnavailable("a secret sentence", reason="CLOSED")
    leg = one(exported, "leg")
    assert leg.status.status_code is trace.StatusCode.ERROR
    assert "secret" not in leg.to_json()
    assert (leg.attributes or {})["error.type"] == "DependencyUnavailable"


def test_below_a_span_that_is_not_sampled_nothing_is_recorded() -> None:
    before, exporter = tracing._provider, InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    try:
        with tracer("test").start_as_current_span("search"), tracer("test").start_as_current_span("leg") as leg:
            assert not leg.is_recording()
    finally:
        tracing.use(before)
    assert exporter.get_finished_spans() == ()


def test_they_can_be_sent_by_otlp(exported: InMemorySpanExporter) -> None:
    with tracer("test").start_as_current_span("search"), tracer("test").start_as_current_span("leg") as span:
        span.set_attribute("scores", [0.5, 0.25])
    (scope,) = encode_spans(exported.get_finished_spans()).resource_spans[0].scope_spans
    assert {each.name for each in scope.spans} == {"search", "leg"}
