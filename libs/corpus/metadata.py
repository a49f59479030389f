"""Metadata of documents: from JSON-like input to typed values, and to JSON and back for storage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from chassis.errors import FailedPrecondition, InvalidRequest
from corpus.domain import BUILT_IN_FIELDS, FieldType, Metadata, MetadataValue
from corpus.filters.parsing import FIELD_NAME
from corpus.filters.values import (
    EXPECTED,
    WrongTypeError,
    coerce_number,
    coerce_string,
    coerce_timestamp,
    coerce_value,
)

# Metadata describes a document and is repeated in every chunk's row: the limits keep a row well below the size of its
# vector.
MAX_KEYS = 64
MAX_KEY_CHARACTERS = 128
MAX_STRING_CHARACTERS = 4_096
MAX_LIST_ELEMENTS = 256
MAX_JSON_BYTES = 16_384
MAX_DECLARED_FIELDS = 128

_TIMESTAMP_KEY = "$timestamp"
# The service knows these better than any caller.
_OWNED_FIELDS = frozenset({"document_id", "updated_at"})


def validate_metadata(raw: Mapping[str, object], declared: Mapping[str, FieldType]) -> Metadata:
    """Checks metadata against the declared fields and gives every value its type.

    Declared fields must have a value of their type, or none: null is the same as leaving the key out. Undeclared
    fields are kept as they are (they are stored and returned, but can't be filtered on): strings, finite numbers,
    booleans, dates, and lists of strings or of numbers. Built-in fields that describe the document (title, doc_type,
    uri, language) are checked like declared ones.

    Raises:
        InvalidRequest: METADATA_TYPE_MISMATCH (declared field with a value of another type), RESERVED_METADATA_KEY,
            INVALID_METADATA (nested objects, mixed lists, NaN, too many or too large).
    """
    if len(raw) > MAX_KEYS:
        raise _invalid(f"Metadata has at most {MAX_KEYS} keys.")
    fields = {**declared, **BUILT_IN_FIELDS}
    metadata: dict[str, MetadataValue] = {}
    for key, value in raw.items():
        _check_key(key)
        if value is None:
            continue
        field_type = fields.get(key)
        metadata[key] = _undeclared(key, value) if field_type is None else _declared(key, value, field_type)
        _check_size(key, metadata[key])
    if len(metadata_to_json(metadata).encode()) > MAX_JSON_BYTES:
        raise _invalid(f"Metadata is larger than {MAX_JSON_BYTES} bytes; keep long text in the document itself.")
    return metadata


def row_metadata(
    metadata: Metadata,
    *,
    document_id: str,
    updated_at: datetime,
    title: str = "",
    doc_type: str = "",
    uri: str = "",
    language: str = "",
) -> Metadata:
    """The metadata that index rows carry: the document's own plus the built-in fields, which win where they are not
    empty.
    """
    described = {"title": title, "doc_type": doc_type, "uri": uri, "language": language}
    built_in: dict[str, MetadataValue] = {name: value for name, value in described.items() if value}
    return {**metadata, **built_in, "document_id": document_id, "updated_at": coerce_timestamp(updated_at)}


def validate_declaration(fields: Mapping[str, FieldType]) -> Mapping[str, FieldType]:
    """Checks field declarations of a tenant and returns them as they are.

    Raises:
        InvalidRequest: INVALID_FIELD_NAME, TOO_MANY_FIELDS.
        FailedPrecondition: FIELD_TYPE_CONFLICT for a built-in field with another type.
    """
    if len(fields) > MAX_DECLARED_FIELDS:
        raise InvalidRequest(f"A tenant declares at most {MAX_DECLARED_FIELDS} fields.", reason="TOO_MANY_FIELDS")
    for name, field_type in fields.items():
        if not FIELD_NAME.fullmatch(name):
            raise InvalidRequest(
                "A field name has 1 to 64 characters of a-z, A-Z, 0-9, '_', '.' and '-', first a letter or '_'.",
                reason="INVALID_FIELD_NAME",
            )
        if BUILT_IN_FIELDS.get(name, field_type) is not field_type:
            raise FailedPrecondition(
                f"The field {name} is built in with the type {BUILT_IN_FIELDS[name]}; choose another name.",
                reason="FIELD_TYPE_CONFLICT",
                metadata={"field": name, "type": BUILT_IN_FIELDS[name]},
            )
    return fields


def metadata_to_json(metadata: Metadata) -> str:
    """Compact JSON with sorted keys: equal metadata gives equal text. Timestamps become ``{"$timestamp": …}``."""
    tagged = {
        key: {_TIMESTAMP_KEY: value.isoformat()} if isinstance(value, datetime) else value
        for key, value in metadata.items()
    }
    return json.dumps(tagged, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def metadata_from_json(text: str) -> Metadata:
    """Inverse of ``metadata_to_json``."""
    return {key: _restored(value) for key, value in json.loads(text).items()}


def _restored(value: object) -> MetadataValue:
    if isinstance(value, dict):
        return coerce_timestamp(value[_TIMESTAMP_KEY])
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, bool | str):
        return value
    return coerce_number(value)


def _check_key(key: str) -> None:
    if not key or len(key) > MAX_KEY_CHARACTERS or not key.isprintable() or key.startswith("$"):
        raise _invalid(
            f"A metadata key has 1 to {MAX_KEY_CHARACTERS} printable characters and does not start with '$'."
        )
    if key in _OWNED_FIELDS:
        raise InvalidRequest(
            f"The metadata key {key} is filled by the service; choose another one.",
            reason="RESERVED_METADATA_KEY",
            metadata={"field": key},
        )


def _declared(key: str, value: object, field_type: FieldType) -> MetadataValue:
    try:
        return coerce_value(value, field_type)
    except WrongTypeError:
        raise InvalidRequest(
            f"The metadata field {key} is declared as {field_type} and needs {EXPECTED[field_type]}.",
            reason="METADATA_TYPE_MISMATCH",
            metadata={"field": key, "type": field_type},
        ) from None


def _undeclared(key: str, value: object) -> MetadataValue:
    try:
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            return coerce_string(value)
        if isinstance(value, date):
            return coerce_timestamp(value)
        if isinstance(value, Sequence):
            if all(isinstance(element, str) for element in value):
                return tuple(coerce_string(element) for element in value)
            return tuple(coerce_number(element) for element in value)
        return coerce_number(value)
    except WrongTypeError:
        raise _invalid(
            "A metadata value is a string, a finite number, true, false, a date, or a list of strings or of numbers.",
            key,
        ) from None


def _check_size(key: str, value: MetadataValue) -> None:
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > MAX_LIST_ELEMENTS:
        raise _invalid(f"A metadata list has at most {MAX_LIST_ELEMENTS} elements.", key)
    if any(isinstance(part, str) and len(part) > MAX_STRING_CHARACTERS for part in parts):
        raise _invalid(f"A metadata string has at most {MAX_STRING_CHARACTERS} characters.", key)


def _invalid(message: str, key: str = "") -> InvalidRequest:
    where = {"field": key} if key else {}
    return InvalidRequest(message, reason="INVALID_METADATA", metadata=where)
