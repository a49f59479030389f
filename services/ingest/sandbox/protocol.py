"""Frames between pool, zygote and child. JSON for structure, raw UTF-8 for the text; nothing is ever unpickled.

Control (pool ↔ zygote): fixed nine-byte messages, kind, worker number, value; SPAWN carries the child's channel as a
file descriptor. Channel (pool ↔ child): a prefix with two lengths, a JSON header, a body. Whatever a child sends is
as untrusted as the document it read.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from ingest.parsing.errors import PARSING_ERRORS, ParserCrashed, ParsingError
from ingest.parsing.limits import ParseLimits
from ingest.parsing.model import MetadataScalar, MetadataValue, ParsedDocument, Section, SectionKind

CONTROL = struct.Struct("!BIi")
PREFIX = struct.Struct("!BIQ")
# Sections, metadata and headings of the largest document allowed stay far below this.
MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_UTF8_BYTES_PER_CHAR = 4
# A child that cannot even report that it is out of memory leaves with this status.
EXIT_OUT_OF_MEMORY = 17
_MAX_MESSAGE_CHARS = 200


class ControlKind(IntEnum):
    """What a control message says."""

    SPAWN = 1
    """Pool to zygote: fork worker `number`; its channel comes along."""
    KILL = 2
    """Pool to zygote: kill worker `number` if it still lives."""
    READY = 3
    """Zygote to pool: imports are done; `value` is a set of `Isolation` flags."""
    EXITED = 4
    """Zygote to pool: worker `number` was reaped; `value` is its wait status."""


class FrameKind(IntEnum):
    """What a channel frame holds."""

    REQUEST = 1
    DOCUMENT = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True)
class ParseRequest:
    """One document to parse, without its bytes."""

    filename: str
    media_type: str
    language: str | None
    limits: ParseLimits


def encode_request(request: ParseRequest, body_bytes: int) -> bytes:
    """Return prefix and header; the body follows as it is."""
    header = json.dumps(asdict(request)).encode()
    return PREFIX.pack(FrameKind.REQUEST, len(header), body_bytes) + header


def decode_request(header: bytes) -> ParseRequest:
    """Return the request of a header that the pool wrote."""
    fields = json.loads(header)
    return ParseRequest(fields["filename"], fields["media_type"], fields["language"], ParseLimits(**fields["limits"]))


def encode_document(document: ParsedDocument) -> tuple[bytes, bytes]:
    """Return (prefix and header, body)."""
    body = document.text.encode("utf-8", "replace")
    paths: dict[tuple[str, ...], int] = {}
    # Paths repeat from section to section: each is sent once.
    sections = [
        (paths.setdefault(section.heading_path, len(paths)), section.end, section.page, section.kind.value)
        for section in document.sections
    ]
    fields = {
        "title": document.title,
        "language": document.language,
        "format": document.format,
        "warnings": document.warnings,
        "metadata": {name: _pack(value) for name, value in document.metadata.items()},
        "paths": list(paths),
        "sections": sections,
    }
    header = json.dumps(fields, ensure_ascii=True).encode()
    return PREFIX.pack(FrameKind.DOCUMENT, len(header), len(body)) + header, body


def decode_document(header: bytes, body: bytes) -> ParsedDocument:
    """Return the document that a child sent.

    Raises:
        ParserCrashed: The frame is not a parsed document: the child is broken or no longer ours.
    """
    try:
        fields = json.loads(header)
        text = body.decode("utf-8")
        paths = [tuple(str(label) for label in path) for path in fields["paths"]]
        return ParsedDocument(
            text=text,
            title=None if fields["title"] is None else str(fields["title"]),
            language=str(fields["language"]),
            metadata={str(name): _unpack(value) for name, value in fields["metadata"].items()},
            sections=tuple(_sections(fields["sections"], paths)),
            format=str(fields["format"]),
            warnings=tuple(str(warning) for warning in fields["warnings"]),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ParserCrashed("the parser answered with something that is not a document") from error


def encode_rejection(error: ParsingError) -> bytes:
    """Return the whole frame for a document that is bad."""
    header = json.dumps({"reason": error.reason, "message": error.message}).encode()
    return PREFIX.pack(FrameKind.REJECTED, len(header), 0) + header


def decode_rejection(header: bytes) -> ParsingError:
    """Return the error that a child reports."""
    try:
        fields = json.loads(header)
        error, message = PARSING_ERRORS[fields["reason"]], str(fields["message"])
    except (ValueError, KeyError, TypeError):
        return ParserCrashed("the parser answered with something that is not an error")
    return error(message if len(message) <= _MAX_MESSAGE_CHARS and message.isprintable() else None)


def _sections(rows: Iterable[Any], paths: list[tuple[str, ...]]) -> Iterable[Section]:
    start = 0
    for path, end, page, kind in rows:
        yield Section(paths[path], start, int(end), None if page is None else int(page), SectionKind(kind))
        start = int(end)


def _pack(value: MetadataValue) -> Any:
    if isinstance(value, tuple):
        return [_pack(item) for item in value]
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _unpack(value: Any) -> MetadataValue:
    if isinstance(value, list):
        return tuple(_unpack_scalar(item) for item in value)
    return _unpack_scalar(value)


def _unpack_scalar(value: Any) -> MetadataScalar:
    if isinstance(value, Mapping):
        return datetime.fromisoformat(value["at"])
    if isinstance(value, str | bool | int | float):
        return value
    raise TypeError("not a metadata value")
