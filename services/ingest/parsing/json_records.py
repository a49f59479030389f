"""JSON and JSON Lines: one section per record, prose fields as prose, everything else as readable key paths."""

import json
from collections.abc import Iterator

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.errors import UnreadableDocument
from ingest.parsing.normalise import normalise, one_line
from ingest.parsing.scalars import flatten
from ingest.parsing.source import Source

# First match wins; names as they are usual in exports, feeds and retrieval data sets.
_TITLE_KEYS = ("title", "name", "heading", "subject", "headline")
_TEXT_KEYS = ("text", "body", "content", "contents", "description", "abstract", "summary", "message")
_ID_KEYS = ("id", "_id", "key", "slug")
_MAX_DEPTH = 40


def parse_json(source: Source, build: DocumentBuilder) -> None:
    """Parse one JSON value: a list of objects as records, an object with a text field as a document.

    Raises:
        UnreadableDocument: Not JSON.
    """
    value = _load(source.text)
    if isinstance(value, dict) and "cells" in value and "nbformat" in value:
        _append_notebook(value, build)
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for number, record in enumerate(value, 1):
            _append_record(build, record, number)
    elif isinstance(value, dict) and any(isinstance(value.get(key), str) for key in _TEXT_KEYS):
        _append_single(build, value)
    else:
        _append_tree(build, value)


def parse_jsonl(source: Source, build: DocumentBuilder) -> None:
    """Parse one record per line; a line that does not parse is skipped with a warning.

    Raises:
        UnreadableDocument: No line is JSON.
    """
    parsed = broken = 0
    for number, line in enumerate(source.text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            broken += 1
            continue
        parsed += 1
        _append_record(build, record, number)
    if broken:
        build.warn("broken_records_skipped")
    if not parsed:
        raise UnreadableDocument("no line is a JSON record")


def _load(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableDocument("the content is not JSON") from error
    return value


def _append_single(build: DocumentBuilder, value: dict[str, object]) -> None:
    title, text, rest = _parts(value)
    build.title = build.title or title
    build.metadata.update(flatten(rest))
    if title:
        build.heading(1, title)
    build.block(text)
    build.block("\n".join(_paths(rest)))


def _append_record(build: DocumentBuilder, record: object, number: int) -> None:
    if not isinstance(record, dict):
        build.heading(1, f"Record {number}")
        build.block("\n".join(_paths(record)))
        return
    title, text, rest = _parts(record)
    build.heading(1, title or next((f"{record[key]}" for key in _ID_KEYS if record.get(key)), f"Record {number}"))
    fields = "\n".join(_paths(rest))
    build.block("\n\n".join(part for part in (title, text, fields) if part))


def _append_tree(build: DocumentBuilder, value: object) -> None:
    if not isinstance(value, dict):
        build.block("\n".join(_paths(value)))
        return
    build.title = next((str(value[key]) for key in _TITLE_KEYS if isinstance(value.get(key), str)), None)
    for key, item in value.items():
        if isinstance(item, dict | list):
            build.heading(1, str(key))
        elif build.depth:
            build.heading(1, "")
        build.block("\n".join(_paths(item, str(key))))


def _append_notebook(value: dict[str, object], build: DocumentBuilder) -> None:
    from ingest.parsing.markdown import MarkdownSections
    from ingest.parsing.model import SectionKind

    cells = value["cells"]
    for cell in cells if isinstance(cells, list) else []:
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        text = normalise("".join(map(str, source)) if isinstance(source, list) else str(source)).strip("\n")
        if not text:
            continue
        if cell.get("cell_type") == "markdown":
            MarkdownSections(build).feed(text + "\n\n")
        else:
            build.block(text, SectionKind.CODE)


def _parts(record: dict[str, object]) -> tuple[str, str, dict[str, object]]:
    """Return (title, prose, the other fields)."""
    title_key = next((key for key in _TITLE_KEYS if isinstance(record.get(key), str)), "")
    text_key = next((key for key in _TEXT_KEYS if isinstance(record.get(key), str)), "")
    rest = {key: value for key, value in record.items() if key not in (title_key, text_key)}
    title = one_line(normalise(str(record[title_key]))) if title_key else ""
    text = normalise(str(record[text_key])).strip("\n") if text_key else ""
    return title, text, rest


def _paths(value: object, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Yield `key.path: value` lines; lists of scalars stay on one line."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    elif isinstance(value, list):
        if all(not isinstance(item, dict | list) for item in value):
            joined = ", ".join(_scalar(item) for item in value)
            if joined:
                yield f"{prefix}: {joined}" if prefix else joined
        else:
            for index, item in enumerate(value):
                yield from _paths(item, f"{prefix}[{index}]", depth + 1)
    elif (text := _scalar(value)) != "":
        yield f"{prefix}: {text}" if prefix else text


def _scalar(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return normalise(str(value)).strip()
