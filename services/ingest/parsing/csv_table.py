"""CSV and TSV: one table with its header row."""

import csv
import io

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.errors import UnreadableDocument
from ingest.parsing.source import Source
from ingest.parsing.tables import append_table, cell_text

_DELIMITERS = ",;\t|"
_SAMPLE_CHARS = 16 * 1024


def parse_csv(source: Source, build: DocumentBuilder) -> None:
    """Parse delimiter-separated values; the delimiter is found by content, quoting follows RFC 4180.

    Raises:
        UnreadableDocument: The rows break the quoting rules.
    """
    # The module's own limit of 128 KiB per field would refuse long text cells.
    csv.field_size_limit(source.limits.max_input_bytes)
    reader = csv.reader(io.StringIO(source.text), delimiter=_delimiter(source.text[:_SAMPLE_CHARS]))
    try:
        rows = [cells for row in reader if any(cells := [cell_text(cell) for cell in row])]
    except csv.Error as error:
        raise UnreadableDocument("the rows are not delimiter-separated values") from error
    append_table(build, rows, level=1)


def _delimiter(sample: str) -> str:
    """Return the delimiter that splits the first lines into the most equal columns."""
    lines = [line for line in sample.split("\n")[:20] if line.strip()]
    scores = {}
    for delimiter in _DELIMITERS:
        counts = [line.count(delimiter) for line in lines]
        common = max(set(counts), key=counts.count) if counts else 0
        scores[delimiter] = (counts.count(common) * (common > 0), common)
    best = max(_DELIMITERS, key=lambda delimiter: scores[delimiter])
    return best if scores[best][0] else ","
