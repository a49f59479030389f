"""Keys of metadata values for engines that index plain terms: text that orders as the values do, and is equal exactly
for equal values.

Numbers and timestamps have keys of a fixed number of hexadecimal digits. An engine without ranges indexes every prefix
of such a key as a term of its own; a range is then the union of at most 30 × 15 + 16 terms, however many values there
are (the scheme of Schindler & Diepenbroek, "Generic XML-based framework for metadata portals", 2008).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from corpus.domain import BUILT_IN_FIELDS, FieldType, MetadataScalar, MetadataValue
from corpus.filters import Bound
from corpus.filters.versions import MAX_VERSION_LENGTH, version_key

SEPARATOR = "\x1f"
"""Field names can't hold it, so no value of one field reads as a value of another."""

CODES = {
    FieldType.STRING: "s",
    FieldType.VERSION: "v",
    FieldType.NUMBER: "n",
    FieldType.BOOLEAN: "b",
    FieldType.TIMESTAMP: "t",
    FieldType.STRING_LIST: "S",
    FieldType.NUMBER_LIST: "N",
}

_FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def types_of(field: str, value: MetadataValue) -> Sequence[FieldType]:
    """The declared types under which ``corpus.filters.values.elements`` would take the value. A row does not know which
    fields are declared."""
    match value:
        case bool():
            return (FieldType.BOOLEAN,)
        case float():
            return (FieldType.NUMBER,)
        case datetime():
            return (FieldType.TIMESTAMP,)
        case str():
            may_be_version = field not in BUILT_IN_FIELDS and 0 < len(value) <= MAX_VERSION_LENGTH
            return (FieldType.STRING, FieldType.VERSION) if may_be_version else (FieldType.STRING,)
        case ():
            return (FieldType.STRING_LIST, FieldType.NUMBER_LIST)
        case _:
            return (FieldType.STRING_LIST,) if isinstance(value[0], str) else (FieldType.NUMBER_LIST,)


def key_of(value: MetadataScalar, field_type: FieldType) -> str:
    """Text that orders as the value does among values of its type, and is equal exactly for equal values."""
    match value:
        case bool():
            return "1" if value else "0"
        case float():
            return f"{_number_key(value):016x}"
        case datetime():
            # Microseconds from year 1 to 9999 need 59 bits.
            return f"{(value - _FIRST_INSTANT) // _MICROSECOND:015x}"
        case str():
            return version_key(value) if field_type is FieldType.VERSION else value


def covering_prefixes(key: str, bound: Bound) -> Iterator[str]:
    """The fewest prefixes of keys that together are exactly the keys on the right side of ``key``, which is one of a
    number or timestamp."""
    digits = len(key)
    low, high = 0, 16**digits - 1
    match bound:
        case Bound.GREATER:
            low = int(key, 16) + 1
        case Bound.GREATER_OR_EQUAL:
            low = int(key, 16)
        case Bound.LESS:
            high = int(key, 16) - 1
        case Bound.LESS_OR_EQUAL:
            high = int(key, 16)
    return _prefixes(low, high, digits)


def _number_key(number: float) -> int:
    """Bits of a double, turned so that unsigned order is numeric order: negative numbers are inverted, others get
    the top bit.
    """
    bits = int.from_bytes(struct.pack(">d", number + 0.0), "big")
    return bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63)


def _prefixes(low: int, high: int, digits: int) -> Iterator[str]:
    while low <= high:
        if digits == 1:
            yield from (f"{each:x}" for each in range(low, high + 1))
            return
        while low <= high and low & 15:
            yield f"{low:0{digits}x}"
            low += 1
        while low <= high and high & 15 != 15:
            yield f"{high:0{digits}x}"
            high -= 1
        low, high, digits = low >> 4, high >> 4, digits - 1
