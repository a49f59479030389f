"""Spans as lines of JSON in a file, for a machine without a trace store.

One span per line, in ``<data_dir>/traces/<service>.jsonl`` and, rotated out, ``….jsonl.1`` (newest) to ``….jsonl.4``::

    {"trace_id": 32 hex, "span_id": 16 hex, "parent_id": 16 hex or "", "name": str, "service": str,
     "kind": "internal" | "server" | "client" | "producer" | "consumer", "start_ns": int, "end_ns": int (Unix ns),
     "status": "unset" | "ok" | "error", "attributes": {name: value or list},
     "events": [{"name": str, "time_ns": int, "attributes": {…}}],
     "links": [{"trace_id": str, "span_id": str, "attributes": {…}}]}

Lines are appended whole with one write, so a reader sees complete lines except for a last one that a crash cut off.
Spans appear in the order they end, about half a second after that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import format_span_id, format_trace_id

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
KEPT_FILES: Final = 4
"""Rotated files kept beside the current one: 160 MiB per service at most."""


_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


class JsonLinesSpanExporter(SpanExporter):
    """Appends spans to a file and rotates it by size. Format and path: see the module."""

    def __init__(
        self, path: Path, service: str, *, max_file_bytes: int = MAX_FILE_BYTES, kept_files: int = KEPT_FILES
    ) -> None:
        self._path = path
        self._service = service
        self._max_file_bytes = max_file_bytes
        self._kept_files = kept_files
        path.parent.mkdir(parents=True, exist_ok=True)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Writes a batch. Called from the span processor's thread."""
        lines = b"".join(_to_json(span_record(span, self._service)).encode() + b"\n" for span in spans)
        try:
            self._append(lines)
        except OSError:
            # A full disk must not stop the service; the SDK counts and logs the lost batch.
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is kept open between batches."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept back."""
        return True

    def _append(self, lines: bytes) -> None:
        # Opened for each batch, twice a second at most: another process of this service may have rotated the file.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.write(descriptor, lines) != len(lines):
                raise OSError("short write")
            full = os.fstat(descriptor).st_size >= self._max_file_bytes
        finally:
            os.close(descriptor)
        if full:
            self._rotate()

    def _rotate(self) -> None:
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._kept_files + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                os.replace(newer, older)


def span_record(span: ReadableSpan, service: str) -> dict[str, Any]:
    """The JSON object of one span."""
    context = span.get_span_context()
    parent = span.parent
    return {
        "trace_id": format_trace_id(context.trace_id) if context else "",
        "span_id": format_span_id(context.span_id) if context else "",
        "parent_id": format_span_id(parent.span_id) if parent else "",
        "name": span.name,
        "service": service,
        "kind": span.kind.name.lower(),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status": span.status.status_code.name.lower(),
        "attributes": _plain(span.attributes),
        "events": [
            {"name": event.name, "time_ns": event.timestamp, "attributes": _plain(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": format_trace_id(link.context.trace_id),
                "span_id": format_span_id(link.context.span_id),
                "attributes": _plain(link.attributes),
            }
            for link in span.links
        ],
    }


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in (attributes or {}).items()}
