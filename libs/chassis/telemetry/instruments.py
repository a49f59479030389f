"""Typed metrics: declared once with their labels, bound to a meter when telemetry is set up, free until then."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import ClassVar, Final, Literal

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

Kind = Literal["counter", "up_down_counter", "histogram", "gauge", "observed"]

LATENCY_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Finer than a default around 15 ms, where the search latency target lies."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)

_PROMETHEUS_UNITS: Final = {"s": "seconds", "By": "bytes"}
"""Units in braces are notes, and no part of a name."""

_declared: dict[str, Metric] = {}
_NOTHING: Final[Callable[..., None]] = lambda *_, **__: None  # noqa: E731


class UndeclaredLabelError(ValueError):
    """A metric was recorded with other labels than it declares: a programming error."""


class Metric:
    """One metric: what it is called, what it counts, in which unit, and which labels it has.

    Attributes:
        name: OpenTelemetry name; Prometheus shows it with underscores, unit and ``_total``.
        unit: UCUM unit, "s", "By", "{request}".
        description: One line for the person at the dashboard.
        labels: Every label, and no other, is given at each recording. Values come from small closed sets.
    """

    kind: ClassVar[Kind]

    def __init__(self, name: str, *, unit: str, description: str, labels: Iterable[str] = ()) -> None:
        if name in _declared:
            raise ValueError(f"The metric {name} is declared twice.")
        self.name = name
        self.unit = unit
        self.description = description
        self.labels = frozenset(labels)
        self._emit: Callable[..., None] = _NOTHING
        _declared[name] = self

    def bind(self, meter: Meter) -> None:
        """Records through ``meter`` from now on."""
        raise TypeError(f"{type(self).__name__} can't be bound.")

    def _check(self, labels: dict[str, str]) -> None:
        if labels.keys() != self.labels:
            raise UndeclaredLabelError(f"{self.name} takes the labels {sorted(self.labels)}, not {sorted(labels)}.")


class Counter(Metric):
    """A number that only grows.

    Totals are kept here and read when metrics are collected: that costs a tenth of a recording through the SDK, and
    counters sit on the path of every RPC.
    """

    kind = "counter"

    def __init__(self, name: str, *, unit: str, description: str, labels: Iterable[str] = ()) -> None:
        super().__init__(name, unit=unit, description=description, labels=labels)
        self._order = tuple(sorted(self.labels))
        self._totals: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def bind(self, meter: Meter) -> None:
        with self._lock:
            self._totals.clear()
        meter.create_observable_counter(self.name, [self._callback], self.unit, self.description)

    def add(self, amount: float = 1, /, **labels: str) -> None:
        """Adds ``amount`` ≥ 0."""
        self._check(labels)
        if amount < 0:
            raise ValueError(f"{self.name} only grows.")
        key = tuple([labels[name] for name in self._order])
        with self._lock:
            self._totals[key] = self._totals.get(key, 0) + amount

    def _callback(self, _options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            totals = list(self._totals.items())
        return [Observation(total, dict(zip(self._order, key, strict=True))) for key, total in totals]


class UpDownCounter(Metric):
    """A number of things that come and go, counted at both ends."""

    kind = "up_down_counter"

    def bind(self, meter: Meter) -> None:
        self._emit = meter.create_up_down_counter(self.name, self.unit, self.description).add

    def add(self, amount: float, /, **labels: str) -> None:
        """Adds ``amount``, which may be negative."""
        self._check(labels)
        self._emit(amount, labels)


class _Series:
    """One histogram under one set of label values."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0


class Histogram(Metric):
    """A distribution. ``buckets`` are upper bounds in the metric's unit, ascending.

    Counts are kept here, as a counter's total is, and read by ``HistogramCollector``: OpenTelemetry has no histogram
    that is observed, and a search records twenty values.
    """

    kind = "histogram"

    def __init__(
        self,
        name: str,
        *,
        unit: str,
        description: str,
        labels: Iterable[str] = (),
        buckets: tuple[float, ...] = LATENCY_SECONDS,
    ) -> None:
        super().__init__(name, unit=unit, description=description, labels=labels)
        self.buckets = buckets
        self._order = tuple(sorted(self.labels))
        self._series: dict[tuple[str, ...], _Series] = {}
        self._lock = threading.Lock()

    def bind(self, meter: Meter) -> None:
        with self._lock:
            self._series.clear()

    def record(self, value: float, /, **labels: str) -> None:
        """Notes one observation in the metric's unit."""
        self._check(labels)
        key = tuple([labels[name] for name in self._order])
        place = bisect_left(self.buckets, value)
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series(len(self.buckets))
            series.counts[place] += 1
            series.total += value

    def family(self) -> HistogramMetricFamily:
        """What was recorded, named as OpenTelemetry's exporter names the other metrics."""
        name = self.name.replace(".", "_")
        unit = _PROMETHEUS_UNITS.get(self.unit, "")
        family = HistogramMetricFamily(name, self.description, labels=self._order, unit=unit)
        bounds = [*map(str, map(float, self.buckets)), "+Inf"]
        with self._lock:
            series = [(key, each.counts.copy(), each.total) for key, each in self._series.items()]
        for key, counts, total in series:
            family.add_metric(key, list(zip(bounds, accumulate(counts), strict=True)), total)
        return family


class HistogramCollector(Collector):
    """Shows every histogram that recorded something in Prometheus' text format."""

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Called by the registry for each scrape."""
        families = [metric.family() for metric in declared() if isinstance(metric, Histogram)]
        return [family for family in families if family.samples]


class Gauge(Metric):
    """The last value of something."""

    kind = "gauge"

    def bind(self, meter: Meter) -> None:
        self._emit = meter.create_gauge(self.name, self.unit, self.description).set

    def set(self, value: float, /, **labels: str) -> None:
        """Replaces the value."""
        self._check(labels)
        self._emit(value, labels)


class ObservedGauge(Metric):
    """A value that is read when metrics are collected, from the one source given with ``observe``."""

    kind = "observed"
    _read: Callable[[], float] | None = None

    def bind(self, meter: Meter) -> None:
        meter.create_observable_gauge(self.name, [self._callback], self.unit, self.description)

    def observe(self, read: Callable[[], float]) -> None:
        """Reads the value through ``read``, which is called from another thread and must be quick."""
        self._read = read

    def _callback(self, _options: CallbackOptions) -> Iterable[Observation]:
        return () if self._read is None else (Observation(self._read()),)


def declared() -> tuple[Metric, ...]:
    """Every metric declared so far, by name."""
    return tuple(_declared[name] for name in sorted(_declared))


def bind_all(meter: Meter) -> None:
    """Binds every declared metric to ``meter``."""
    for metric in declared():
        metric.bind(meter)
