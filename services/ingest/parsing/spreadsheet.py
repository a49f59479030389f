"""XLSX: each sheet a page, each block of rows between blank rows a table."""

import io

from openpyxl import load_workbook

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.errors import DocumentTooLarge
from ingest.parsing.source import Source
from ingest.parsing.tables import append_table, cell_text

# Sheets claim a million rows when somebody formatted a column; a run of blank rows this long is the end.
_MAX_BLANK_ROWS = 1_000


def append_workbook(source: Source, build: DocumentBuilder) -> None:
    """Append the sheets of a workbook; values as last calculated, not formulas.

    Raises:
        DocumentTooLarge: More sheets than `max_pages`.
    """
    workbook = load_workbook(io.BytesIO(source.data), read_only=True, data_only=True, keep_links=False)
    try:
        if len(workbook.worksheets) > source.limits.max_pages:
            raise DocumentTooLarge("the workbook has more sheets than the limit")
        for number, sheet in enumerate(workbook.worksheets, 1):
            build.heading(1, sheet.title)
            table: list[list[str]] = []
            blank = 0
            for row in sheet.iter_rows(values_only=True):
                cells = [cell_text(value) for value in row]
                if any(cells):
                    table.append(cells)
                    blank = 0
                    continue
                blank += 1
                append_table(build, _left_aligned(table), level=2, page=number)
                table = []
                if blank > _MAX_BLANK_ROWS:
                    break
            append_table(build, _left_aligned(table), level=2, page=number)
    finally:
        workbook.close()


def _left_aligned(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows without the empty columns on their left."""
    first = min((index for row in rows for index, cell in enumerate(row) if cell), default=0)
    return [row[first:] for row in rows]
