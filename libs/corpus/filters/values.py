"""Values of declared fields: how JSON-like input becomes a typed value, and what counts as a value of a type."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

from corpus.domain import FieldType, MetadataScalar, MetadataValue
from corpus.filters.versions import MAX_VERSION_LENGTH, version_key

LIST_TYPES = frozenset({FieldType.STRING_LIST, FieldType.NUMBER_LIST})
ORDERED_TYPES = frozenset({FieldType.STRING, FieldType.NUMBER, FieldType.TIMESTAMP, FieldType.VERSION})
ELEMENT_TYPES = {FieldType.STRING_LIST: FieldType.STRING, FieldType.NUMBER_LIST: FieldType.NUMBER}

EXPECTED = {
    FieldType.STRING: "a string",
    FieldType.NUMBER: "a finite number",
    FieldType.BOOLEAN: "true or false",
    FieldType.TIMESTAMP: "an RFC 3339 timestamp with an offset or a date, such as 2026-03-01T09:30:00Z or 2026-03-01",
    FieldType.VERSION: f"a version string of 1 to {MAX_VERSION_LENGTH} characters",
    FieldType.STRING_LIST: "a list of strings",
    FieldType.NUMBER_LIST: "a list of finite numbers",
}
"""What to tell a caller whose value has another type."""

_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2}))?", re.ASCII
)


class WrongTypeError(Exception):
    """Internal signal: the value is none of the type.

    Callers translate it to an InvalidRequest with their own context.
    """


def coerce_scalar(value: object, field_type: FieldType) -> MetadataScalar:
    """The value as a typed scalar; for a list type, as one element of such a list. Raises WrongTypeError."""
    element_type = ELEMENT_TYPES.get(field_type, field_type)
    match element_type:
        case FieldType.BOOLEAN if isinstance(value, bool):
            return value
        case FieldType.NUMBER:
            return coerce_number(value)
        case FieldType.STRING if isinstance(value, str):
            return coerce_string(value)
        case FieldType.VERSION if (
            isinstance(value, str) and len(value.strip()) > 0 and len(value) <= MAX_VERSION_LENGTH
        ):
            return coerce_string(value)
        case FieldType.TIMESTAMP:
            return coerce_timestamp(value)
        case _:
            raise WrongTypeError


def coerce_value(value: object, field_type: FieldType) -> MetadataValue:
    """The value as one of the declared type, lists included. Raises WrongTypeError."""
    if field_type not in LIST_TYPES:
        return coerce_scalar(value, field_type)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise WrongTypeError
    if field_type is FieldType.STRING_LIST:
        return tuple(coerce_string(element) for element in value)
    return tuple(coerce_number(element) for element in value)


def coerce_string(value: object) -> str:
    """The string as it is. Raises WrongTypeError for anything else, and for text that isn't valid Unicode."""
    if not isinstance(value, str):
        raise WrongTypeError
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise WrongTypeError from error
    return value


def coerce_number(value: object) -> float:
    """The number as a double, as JSON has it.

    Raises WrongTypeError for booleans, NaN, infinities and numbers beyond a double.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongTypeError
    try:
        number = float(value)
    except OverflowError as error:
        raise WrongTypeError from error
    if not math.isfinite(number):
        raise WrongTypeError
    return number + 0.0  # makes -0.0 into 0.0: they are equal, so they must not have two forms


def coerce_timestamp(value: object) -> datetime:
    """An aware UTC datetime from RFC 3339 text, a date (midnight UTC) or a datetime (naive: UTC). Raises
    WrongTypeError.

    Digits below a microsecond are cut off.
    """
    try:
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise WrongTypeError
        day, clock, fraction, offset = match.groups()
        if clock is None:
            return datetime.fromisoformat(day).replace(tzinfo=UTC)
        microseconds = (fraction or "0").ljust(6, "0")[:6]
        return datetime.fromisoformat(f"{day}T{clock}.{microseconds}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WrongTypeError from error


def elements(value: MetadataValue | None, field_type: FieldType) -> tuple[MetadataScalar, ...] | None:
    """What a stored value holds for a field of this type: its elements, or itself alone; None when the value counts
    as missing.

    A value of another type than the declared one counts as missing. That happens when the field was declared after
    the document was stored, and ends when the document is stored again.
    """
    if value is None:
        return None
    if isinstance(value, tuple):
        wanted: type[str] | type[float] = str if field_type is FieldType.STRING_LIST else float
        fits = field_type in LIST_TYPES and all(isinstance(element, wanted) for element in value)
        return value if fits else None
    match field_type:
        case FieldType.STRING:
            fits = isinstance(value, str)
        case FieldType.VERSION:
            fits = isinstance(value, str) and 0 < len(value) <= MAX_VERSION_LENGTH
        case FieldType.NUMBER:
            fits = isinstance(value, float) and not isinstance(value, bool)
        case FieldType.BOOLEAN:
            fits = isinstance(value, bool)
        case FieldType.TIMESTAMP:
            fits = isinstance(value, datetime)
        case _:
            fits = False
    return (value,) if fits else None


def comparable(value: MetadataScalar, field_type: FieldType) -> MetadataScalar:
    """What stands for the value in comparisons: its sort key for a version, itself otherwise."""
    return version_key(value) if field_type is FieldType.VERSION and isinstance(value, str) else value
