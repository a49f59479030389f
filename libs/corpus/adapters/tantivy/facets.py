"""Metadata as index terms, and filters as queries over them.

Every value becomes a term ``field US code value``, so that equality, membership and existence are exact term lookups.
Numbers and timestamps are ordered: their 64-bit order-preserving key is written in hexadecimal, and every prefix of
it is a term of its own, so a range is the union of at most 30 × 15 + 16 terms however many values there are (the
scheme of Schindler & Diepenbroek, "Generic XML-based framework for metadata portals", 2008). The binding has no
ranges over text, so ranges over strings and versions look their terms up in the dictionary.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import tantivy

from corpus.domain import BUILT_IN_FIELDS, FieldType, Metadata, MetadataScalar, MetadataValue
from corpus.filters import (
    Bound,
    Comparison,
    Conjunction,
    Disjunction,
    Existence,
    Expression,
    Membership,
    Negation,
)
from corpus.filters.parsing import FIELD_NAME
from corpus.filters.versions import MAX_VERSION_LENGTH, version_key

FIELD = "facets"

# Field names can't hold it, so no value of one field reads as a value of another.
_SEPARATOR = "\x1f"
_NUMBER_DIGITS = 16
_TIMESTAMP_DIGITS = 15  # microseconds from year 1 to 9999 need 59 bits
_FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_CODES = {
    FieldType.STRING: "s",
    FieldType.VERSION: "v",
    FieldType.NUMBER: "n",
    FieldType.BOOLEAN: "b",
    FieldType.TIMESTAMP: "t",
    FieldType.STRING_LIST: "S",
    FieldType.NUMBER_LIST: "N",
}

TermsWithPrefix = Callable[[str], Sequence[str]]
"""All terms of the facet field that start with a prefix, sorted."""


def facet_terms(metadata: Metadata) -> Iterator[str]:
    """Terms of a row. A row does not know which fields are declared, so every value that could be filtered on has its
    terms; a string has those of a version too."""
    for field, value in metadata.items():
        if FIELD_NAME.fullmatch(field):
            for field_type in _types_of(field, value):
                yield _existence_term(field, field_type)
                for element in value if isinstance(value, tuple) else (value,):
                    yield from _value_terms(field, field_type, element)


def filter_query(schema: tantivy.Schema, expression: Expression, terms_with_prefix: TermsWithPrefix) -> tantivy.Query:
    """A query that matches exactly the rows for which ``corpus.filters.expression.evaluate`` is true.

    Its scores mean nothing.
    """

    def any_of(terms: Sequence[str]) -> tantivy.Query:
        return tantivy.Query.term_set_query(schema, FIELD, list(terms)) if terms else tantivy.Query.empty_query()

    def translate(node: Expression) -> tantivy.Query:
        match node:
            case Membership(field, field_type, values):
                return any_of([_exact_term(field, field_type, value) for value in values])
            case Comparison(field, field_type, bound, value):
                return any_of(_range_terms(field, field_type, bound, value, terms_with_prefix))
            case Existence(field, field_type):
                return any_of([_existence_term(field, field_type)])
            case Negation(operand):
                return tantivy.Query.boolean_query(
                    [
                        (tantivy.Occur.Must, tantivy.Query.all_query()),
                        (tantivy.Occur.MustNot, translate(operand)),
                    ]
                )
            case Conjunction(operands):
                if not operands:
                    return tantivy.Query.all_query()
                return tantivy.Query.boolean_query([(tantivy.Occur.Must, translate(each)) for each in operands])
            case Disjunction(operands):
                if not operands:
                    return tantivy.Query.empty_query()
                return tantivy.Query.boolean_query([(tantivy.Occur.Should, translate(each)) for each in operands])

    return translate(expression)


def _types_of(field: str, value: MetadataValue) -> Sequence[FieldType]:
    """The declared types under which ``corpus.filters.values.elements`` would take the value."""
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


def _prefix(field: str, field_type: FieldType) -> str:
    return f"{field}{_SEPARATOR}{_CODES[field_type]}"


def _existence_term(field: str, field_type: FieldType) -> str:
    return f"{field}{_SEPARATOR}?{_CODES[field_type]}"


def _value_terms(field: str, field_type: FieldType, value: MetadataScalar) -> Iterator[str]:
    key = _key(value, field_type)
    yield _prefix(field, field_type) + key
    if field_type in (FieldType.NUMBER, FieldType.TIMESTAMP):
        for length in range(1, len(key)):
            yield _prefix(field, field_type) + key[:length]


def _exact_term(field: str, field_type: FieldType, value: MetadataScalar) -> str:
    return _prefix(field, field_type) + _key(value, field_type)


def _key(value: MetadataScalar, field_type: FieldType) -> str:
    """Text that orders as the value does, and is equal exactly for equal values."""
    match value:
        case bool():
            return "1" if value else "0"
        case float():
            return f"{_number_key(value):016x}"
        case datetime():
            return f"{(value - _FIRST_INSTANT) // _MICROSECOND:015x}"
        case str():
            return version_key(value) if field_type is FieldType.VERSION else value


def _number_key(number: float) -> int:
    """Bits of a double, turned so that unsigned order is numeric order: negative numbers are inverted, others get
    the top bit.
    """
    bits = int.from_bytes(struct.pack(">d", number + 0.0), "big")
    return bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63)


def _range_terms(
    field: str, field_type: FieldType, bound: Bound, value: MetadataScalar, terms_with_prefix: TermsWithPrefix
) -> Sequence[str]:
    prefix = _prefix(field, field_type)
    key = _key(value, field_type)
    if field_type in (FieldType.STRING, FieldType.VERSION):
        terms = terms_with_prefix(prefix)
        return _slice_of(terms, prefix + key, bound)
    digits = _NUMBER_DIGITS if field_type is FieldType.NUMBER else _TIMESTAMP_DIGITS
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
    return [prefix + part for part in _covering_prefixes(low, high, digits)]


def _slice_of(terms: Sequence[str], operand: str, bound: Bound) -> Sequence[str]:
    match bound:
        case Bound.GREATER:
            return terms[bisect_right(terms, operand) :]
        case Bound.GREATER_OR_EQUAL:
            return terms[bisect_left(terms, operand) :]
        case Bound.LESS:
            return terms[: bisect_left(terms, operand)]
        case Bound.LESS_OR_EQUAL:
            return terms[: bisect_right(terms, operand)]


def _covering_prefixes(low: int, high: int, digits: int) -> Iterator[str]:
    """The fewest hexadecimal prefixes whose numbers of ``digits`` digits are exactly those from ``low`` to ``high``,
    both included.
    """
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
