"""``trace``: the waterfall of one trace, from the services' trace files."""

from __future__ import annotations

import json as json_library
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption
from headwater.cli.output import console, print_json, table
from headwater.cli.problems import EXIT_NOT_FOUND, CommandError

BAR_CELLS = 40


@dataclass(frozen=True, slots=True)
class Span:
    """One span of a trace file."""

    span_id: str
    parent_id: str
    name: str
    service: str
    start_ns: int
    end_ns: int
    status: str
    raw: dict[str, Any]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(trace)


def trace(
    trace_id: Annotated[str, typer.Argument(help="Trace id, as 'ask' and 'ingest' print it.")],
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Show where the time of one request or change went, across services.

    Example:  headwater trace 4bf92f3577b34da6a3ce929d0e0e4736
    """
    spans = read_trace(data, trace_id)
    if not spans:
        raise CommandError(
            f"No trace {trace_id} under {data / 'traces'}.",
            hint="Spans are written within a second or two; rotated files are gone.",
            exit_code=EXIT_NOT_FOUND,
        )
    if json:
        print_json([span.raw for span in spans])
    else:
        print_waterfall(spans)


def read_trace(data: Path, trace_id: str) -> list[Span]:
    """All spans of a trace in the data directory's trace files, by start."""
    spans = {
        span["span_id"]: Span(
            span_id=span["span_id"],
            parent_id=span.get("parent_id") or "",
            name=span["name"],
            service=span["service"],
            start_ns=span["start_ns"],
            end_ns=span["end_ns"],
            status=_status(span.get("status")),
            raw=span,
        )
        for span in _spans(data / "traces", trace_id)
    }
    return sorted(spans.values(), key=lambda span: (span.start_ns, span.end_ns))


def print_waterfall(spans: list[Span]) -> None:
    """Prints spans as a tree with bars on one time axis."""
    begin, end = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
    width = max(end - begin, 1)
    ids = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in ids else "", []).append(span)
    rows = table("span", "service", "ms", "", right=("ms",))

    def add(span: Span, depth: int) -> None:
        left = int((span.start_ns - begin) / width * BAR_CELLS)
        cells = max(1, round((span.end_ns - span.start_ns) / width * BAR_CELLS))
        bar = Text(
            " " * left + "█" * min(cells, BAR_CELLS - left or 1), style="red" if span.status == "ERROR" else "cyan"
        )
        rows.add_row(Text("  " * depth + span.name), span.service, f"{(span.end_ns - span.start_ns) / 1e6:.1f}", bar)
        for child in children.get(span.span_id, []):
            add(child, depth + 1)

    for root in children.get("", []):
        add(root, 0)
    console.print(rows)
    services = len({span.service for span in spans})
    console.print(f"{len(spans)} spans, {services} services, {width / 1e6:.1f} ms", style="dim")


def _status(status: Any) -> str:
    return str(status.get("code", "")) if isinstance(status, dict) else str(status or "")


def _spans(folder: Path, trace_id: str) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.jsonl*")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if trace_id in line:
                    try:
                        span = json_library.loads(line)
                    except json_library.JSONDecodeError:
                        continue  # the last line of a file that is being written
                    if span.get("trace_id") == trace_id:
                        yield span
