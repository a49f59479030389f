"""Header fields at the start of a reStructuredText document: PEP headers (RFC 2822 style) and docinfo fields."""

import re
from itertools import islice

from ingest.parsing.model import MetadataValue
from ingest.parsing.scalars import MAX_METADATA_FIELDS, scalar_from_text

_HEADER = re.compile(r"([A-Z][A-Za-z0-9-]{1,40}):(?:[ \t]+(.*)|$)")
_DOCINFO = re.compile(r":([A-Za-z][^:\n]{0,60}):(?:[ \t]+(.*)|$)")
# Fields of which there may be several, separated by commas (PEP 1 for the PEP headers, docutils for `authors`).
_LISTS = {
    "author", "authors", "sponsor", "pep-delegate", "bdfl-delegate", "requires", "replaces", "superseded-by",
    "post-history", "keywords", "tags",
}  # fmt: skip


def read_header_fields(text: str) -> dict[str, MetadataValue]:
    """Return the header fields with lower-case names; lists as tuples, dates and numbers with their types.

    A `Name: value` block counts only from two lines on: one such line may be a sentence.
    """
    lines = text[: 32 * 1024].split("\n")
    fields = _read(lines, _HEADER)
    if len(fields) < 2:
        fields = _docinfo(lines)
    return {
        name: value
        for name, raw in islice(fields.items(), MAX_METADATA_FIELDS)
        if (value := _value(name, raw)) is not None
    }


def _docinfo(lines: list[str]) -> dict[str, str]:
    for index, line in enumerate(lines[:40]):
        if _DOCINFO.match(line):
            return _read(lines[index:], _DOCINFO)
    return {}


def _read(lines: list[str], pattern: re.Pattern[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        if match := pattern.match(line):
            name = match[1].strip().lower().replace(" ", "-")
            fields[name] = (match[2] or "").strip()
        elif name and line[:1] in (" ", "\t") and line.strip():
            fields[name] = f"{fields[name]} {line.strip()}".strip()
        elif line.strip() or fields:
            break
    return fields


def _value(name: str, raw: str) -> MetadataValue | None:
    if not raw:
        return None
    if name in _LISTS:
        items = tuple(scalar_from_text(item, name) for item in raw.split(",") if item.strip())
        return items or None
    return scalar_from_text(raw, name)
