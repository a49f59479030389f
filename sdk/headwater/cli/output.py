"""How results look: tables and colour for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from headwater.types import Citation, Location, Stage

# What a terminal obeys (C0 but tab and line feed, C1, delete), and what turns the order of letters round.
_CONTROLS = dict.fromkeys(
    [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\N{REPLACEMENT CHARACTER}",
)


class _SafeConsole(Console):
    """Shows text of documents as text: neither the terminal nor rich may take any of it for a command."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else segment.text.translate(_CONTROLS)
            yield segment if shown == segment.text else Segment(shown, segment.style)


console = _SafeConsole(highlight=False, markup=False)
errors = _SafeConsole(stderr=True, highlight=False, markup=False)


def print_json(value: Any) -> None:
    """Prints one JSON document on standard output."""
    console.file.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")


def plain(value: Any) -> Any:
    """A value made of what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def progress() -> Progress:
    """Bars with counts and times, on standard error so that output can be piped."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=errors,
    )


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An unboxed table; ``right`` names right-aligned columns."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def place(location: Location, title: str) -> str:
    """Where a passage stands, for people: title › headings, page, characters."""
    path = " › ".join([title, *[part for part in location.heading_path if part != title]])
    page = f", p. {location.page}" if location.page else ""
    return f"{path}{page} [{location.start}:{location.end}]"


def citation_line(citation: Citation) -> Text:
    """One line of a citation list."""
    if not citation.readable:
        return Text(f"  [{citation.number}] no longer readable", style="dim")
    line = Text(f"  [{citation.number}] ", style="cyan")
    line.append(citation.document_id, style="bold")
    line.append(f"  {place(citation.location, citation.title)}", style="dim")
    return line


def stages_line(stages: Sequence[Stage]) -> Text:
    """Stages with their milliseconds on one line."""
    return Text("  " + " · ".join(f"{stage.name} {stage.milliseconds:.1f} ms" for stage in stages), style="dim")
