"""Debezium change events: https://debezium.io/documentation/reference/stable/connectors/postgresql.html ("Data change
events"), with or without the schema wrapper of Kafka Connect's JSON converter.

Versions. A row's changes carry growing positions of the database's log. A position is multiplied by four, which leaves
room for what may share one: a snapshot reads rows *at* a position, and the first change after it may be written at the
same; a deleted row's own column says nothing newer than its last update. So: read < created or updated < deleted.
A database that is restored or replaced begins with smaller positions, which would all be out of date: a declared epoch
puts them above those of the one before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum

from chassis.errors import InvalidRequest
from corpus.domain import MAX_VERSION
from ingest.domain import Lane
from ingest.sources.mapping import DebeziumMapping
from ingest.sources.model import Described, SourceChange
from ingest.sources.templates import Template

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_BINLOG_FILE = re.compile(r".*\.([0-9]{1,10})")
_BINLOG_BITS = 36
"""Of a position within a file: a transaction may make a file larger than its limit of 1 GiB, hardly than 64."""

Row = Mapping[str, object]


class Rank(IntEnum):
    """Order of what shares a position."""

    READ = 0
    WRITTEN = 1
    DELETED = 2


RANKS = 4
EPOCH_BITS = 58
"""Of a version within an epoch: positions below 2^56, which is 64 PiB of a log, or a million of its files."""

_OPERATIONS = {"r": Rank.READ, "c": Rank.WRITTEN, "u": Rank.WRITTEN, "d": Rank.DELETED}


def is_envelope(content: Mapping[str, object]) -> bool:
    """Whether this is a change event, its wrapper taken off."""
    return isinstance(content.get("op"), str) and isinstance(content.get("source"), Mapping)


def read_envelope(name: str, mapping: DebeziumMapping, envelope: Row, key: Row) -> list[SourceChange]:
    """The changes that a change event of the mapping's table means: none or one as a rule, two when an update changes
    the document's id.

    Raises InvalidRequest: UNKNOWN_OPERATION, MISSING_FIELD, VALUE_UNAVAILABLE, INVALID_POSITION.
    """
    rank = _OPERATIONS.get(str(envelope["op"]))
    if rank is None:
        raise InvalidRequest(
            "The operation is none of create, read, update and delete. After a truncated table delete its documents, "
            "for instance through a tenant or an id prefix of its own.",
            reason="UNKNOWN_OPERATION",
        )
    # A deleted row has the columns of its replica identity only: the key's, unless the table says FULL.
    before = {**key, **{name: value for name, value in _row(envelope.get("before")).items() if value is not None}}
    after = _row(envelope.get("after"))
    if rank is Rank.DELETED:
        return [_change(name, mapping, envelope, before, rank, None)]
    lane = Lane.BULK if rank is Rank.READ else Lane.LIVE
    changes = [_change(name, mapping, envelope, after, rank, _described(mapping, after, lane))]
    # Ids first: the old row may lack the column of versions, which is asked for only where its document goes.
    if envelope["op"] == "u" and _ids(mapping, before) != _ids(mapping, after):
        changes.insert(0, _change(name, mapping, envelope, before, Rank.DELETED, None))
    return changes


def _ids(mapping: DebeziumMapping, row: Row) -> tuple[str, str]:
    return mapping.tenant.text(row), mapping.document_id.identifier(row)


def _change(
    name: str, mapping: DebeziumMapping, envelope: Row, row: Row, rank: Rank, document: Described | None
) -> SourceChange:
    tenant_id, document_id = _ids(mapping, row)
    source = _row(envelope["source"])
    return SourceChange(name, tenant_id, document_id, _version(mapping, source, row, rank), document)


def _described(mapping: DebeziumMapping, row: Row, lane: Lane) -> Described:
    return Described(
        content=mapping.text.text(row).encode(),
        filename=optional(mapping.filename, row),
        media_type=optional(mapping.media_type, row) or "text/plain",
        title=optional(mapping.title, row),
        doc_type=optional(mapping.doc_type, row),
        uri=optional(mapping.uri, row),
        metadata=metadata(mapping.metadata, row),
        readers=readers(mapping.readers, row),
        security_level=mapping.security_level,
        lane=lane,
    )


def optional(template: Template | None, record: Row) -> str:
    """The text, empty where there is none."""
    return template.optional_text(record) if template else ""


def metadata(templates: Mapping[str, Template], record: Row) -> Mapping[str, object]:
    """The declared metadata that the record has."""
    values = {name: template.value(record) for name, template in templates.items()}
    return {name: value for name, value in values.items() if value is not None}


def readers(templates: tuple[Template, ...], record: Row) -> tuple[str, ...]:
    """Who may read. A reader whose field is missing or null is nobody. Raises InvalidRequest INVALID_READERS."""
    found: list[str] = []
    for template in templates:
        value = template.value(record)
        each: list[object] = value if isinstance(value, list) else [value] if value is not None else []
        texts = [reader for reader in each if isinstance(reader, str)]
        if len(texts) < len(each):
            raise InvalidRequest("A field of readers is neither a text nor a list of texts.", reason="INVALID_READERS")
        found += texts
    return tuple(found)


def _version(mapping: DebeziumMapping, source: Row, row: Row, rank: Rank) -> int:
    if mapping.version == "lsn":
        position = _lsn(source.get("lsn"))
    elif mapping.version == "binlog":
        position = _binlog(source.get("file"), source.get("pos"), source.get("row"))
    else:
        position = whole_number(Template.parse(mapping.version).value(row))
    # At zero nothing was ever written: it is what a connector says that knows no position.
    version = position * RANKS + rank if position is not None and position > 0 else 0
    # Without an epoch the whole range is the position's; with one, each epoch has a part of it.
    limit = MAX_VERSION if mapping.epoch == 0 else (1 << EPOCH_BITS) - 1
    if not 0 < version <= limit:
        raise InvalidRequest(
            f"The record has no usable position ({mapping.version}), so nobody can tell what it is older than.",
            reason="INVALID_POSITION",
        )
    return mapping.epoch << EPOCH_BITS | version


def whole_number(value: object) -> int | None:
    """The number that a field says, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else None


def _lsn(value: object) -> int | None:
    """A log sequence number as Debezium writes it, or as PostgreSQL does: two hexadecimal halves of 32 bits."""
    if isinstance(value, str) and (match := _LSN.fullmatch(value)):
        return int(match[1], 16) << 32 | int(match[2], 16)
    return whole_number(value)


def _binlog(file: object, event: object, row: object) -> int | None:
    """Number of the file, then the position in it. The rows of one event share the event's position; each takes a byte
    at least, so counted from there they stay before the next event."""
    match = _BINLOG_FILE.fullmatch(file) if isinstance(file, str) else None
    begin, number = whole_number(event), whole_number(0 if row is None else row)
    if match is None or begin is None or number is None or number < 0 or begin < 0:
        return None
    at = begin + number
    return int(match[1]) << _BINLOG_BITS | at if at >> _BINLOG_BITS == 0 else None


def _row(value: object) -> Row:
    return value if isinstance(value, Mapping) else {}
