"""Rows of cells to one table section, with the column names in the heading path.

A table that is too long for one chunk is cut between rows, and rows without their header say little. The text cannot
repeat the header (spans must hold), so the column names stand in the heading path, which every chunk carries.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime, time

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.model import SectionKind
from ingest.parsing.normalise import normalise, one_line

_NUMBER = re.compile(r"[-+(]?[$€£¥]?[-+]?\d[\d,. ]*[%)]?$")
_MAX_COLUMN_CHARS = 40


def cell_text(value: object) -> str:
    """Return one cell as one line of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, datetime) and value.time() == time.min:
        return value.date().isoformat()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return one_line(normalise(str(value)))


def append_table(build: DocumentBuilder, rows: Sequence[Sequence[str]], level: int, page: int | None = None) -> None:
    """Append `rows` (trimmed to the columns in use) as one table below headings shallower than `level`."""
    width = max((index + 1 for row in rows for index, cell in enumerate(row) if cell), default=0)
    if not width:
        return
    header = rows[0][:width] if len(rows) > 1 and _is_header(rows[0][:width]) else None
    if header is not None:
        build.heading(level, " | ".join(cell[:_MAX_COLUMN_CHARS] for cell in header if cell))
    lines = [_line(row, width) for row in rows]
    if header is not None:
        lines.insert(1, "|" + " --- |" * width)
    build.block("\n".join(lines), SectionKind.TABLE, page)


def _is_header(row: Sequence[str]) -> bool:
    """Return whether a first row names columns: most cells filled, none a number, none of them twice."""
    filled = [cell for cell in row if cell]
    return (
        len(filled) * 2 > len(row)
        and len(set(filled)) == len(filled)
        and not any(_NUMBER.match(cell) for cell in filled)
    )


def _line(row: Sequence[str], width: int) -> str:
    cells = [row[index].replace("|", "\\|") if index < len(row) else "" for index in range(width)]
    return "| " + " | ".join(cells) + " |"
