"""Sets up logs, traces and metrics of one process."""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import prometheus_client
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from chassis.telemetry import instruments, metrics, tracing
from chassis.telemetry.logs import platform_version, setup_logs
from chassis.telemetry.trace_file import JsonLinesSpanExporter

if TYPE_CHECKING:
    from chassis.settings import ServiceSettings

_EXPORT_DELAY_MILLIS: Final = 500
"""Half a second after a span ends it can be read: `headwater trace` right after a request should find it."""
_FLUSH_MILLIS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What was set up, for the metrics endpoint and for shutting it down.

    Attributes:
        registry: What ``/metrics`` shows.
    """

    registry: prometheus_client.CollectorRegistry
    _tracer_provider: TracerProvider
    _meter_provider: MeterProvider

    def flush(self) -> None:
        """Exports the spans that ended so far. Blocks for up to a second."""
        self._tracer_provider.force_flush(_FLUSH_MILLIS)

    def shutdown(self) -> None:
        """Exports what is left and stops the threads. Blocks for about a second at most."""
        self._tracer_provider.force_flush(_FLUSH_MILLIS)
        self._tracer_provider.shutdown()
        self._meter_provider.shutdown(_FLUSH_MILLIS)


def setup(settings: ServiceSettings) -> Telemetry:
    """Starts logging, tracing and metrics as ``settings`` say. Called by ``lifecycle.run``, once per process.

    A second call, as tests make it, replaces where logs, spans and metrics go; shut the first one down before.
    """
    setup_logs(settings.service_name, settings.log_level)
    tracing.allow_content(settings.trace_content)
    resource_ = Resource.create(
        {"service.name": settings.service_name, "service.namespace": "headwater", "service.version": platform_version()}
    )
    registry = prometheus_client.CollectorRegistry()
    meter_provider = MeterProvider(
        [PrometheusMetricReader(scope_info_enabled=False, registry=registry)],
        resource_,
        # The text format of Prometheus has no room for exemplars.
        exemplar_filter=AlwaysOffExemplarFilter(),
    )
    instruments.bind_all(meter_provider.get_meter("headwater"))
    registry.register(instruments.HistogramCollector())
    metrics.PROCESS_MEMORY.observe(_resident_bytes)
    metrics.PROCESS_CPU.observe(time.process_time)
    tracer_provider = _tracer_provider(settings, resource_)
    tracing.use(tracer_provider)
    return Telemetry(registry, tracer_provider, meter_provider)


def _tracer_provider(settings: ServiceSettings, resource_: Resource) -> TracerProvider:
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_sample_ratio)),
        resource=resource_,
        shutdown_on_exit=False,
    )
    if settings.trace_files:
        path = settings.data_dir / "traces" / f"{settings.service_name}.jsonl"
        exporter = JsonLinesSpanExporter(path, settings.service_name)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_DELAY_MILLIS))
    if settings.otlp_endpoint:
        # Imported where it is wanted: it takes an eighth of a service's start.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        otlp = OTLPSpanExporter(settings.otlp_endpoint, insecure=settings.otlp_endpoint.startswith("http://"))
        provider.add_span_processor(BatchSpanProcessor(otlp, schedule_delay_millis=_EXPORT_DELAY_MILLIS))
    return provider


def _resident_bytes() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        # No procfs (macOS): the peak is the nearest thing there is, in bytes there and in kilobytes elsewhere.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
