"""Metadata as index terms, for engines that look terms up.

Every value becomes a term ``field US code key``, so that equality, membership and existence are exact look-ups of
terms. Every prefix of the key of a number or timestamp is a term of its own, so that a range over those is a union of a
few hundred terms at most; a range over strings or versions is one over terms. Keys come from
``corpus.adapters.facet_keys``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corpus.adapters.facet_keys import CODES, SEPARATOR, covering_prefixes, key_of, types_of
from corpus.domain import FieldType, Metadata, MetadataScalar
from corpus.filters import Bound, Comparison, Existence, Membership
from corpus.filters.parsing import FIELD_NAME


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A row matches that has one of the terms; none does if there are no terms."""

    terms: Sequence[str]


@dataclass(frozen=True, slots=True)
class TermRange:
    """A row matches that has a term on the right side of ``term``, among those that start with ``prefix``. Terms order
    by the bytes of their UTF-8."""

    prefix: str
    bound: Bound
    term: str


def facet_terms(metadata: Metadata) -> Iterator[str]:
    """Terms of a row. A row does not know which fields are declared, so every value that could be filtered on has its
    terms; a string has those of a version too."""
    for field, value in metadata.items():
        if FIELD_NAME.fullmatch(field):
            for field_type in types_of(field, value):
                yield _existence_term(field, field_type)
                for element in value if isinstance(value, tuple) else (value,):
                    yield from _value_terms(field, field_type, element)


def condition_terms(condition: Membership | Comparison | Existence) -> AnyOf | TermRange:
    """The terms that a row needs to satisfy a condition."""
    match condition:
        case Membership(field, field_type, values):
            prefix = _prefix(field, field_type)
            return AnyOf(list(dict.fromkeys(prefix + key_of(value, field_type) for value in values)))
        case Existence(field, field_type):
            return AnyOf([_existence_term(field, field_type)])
        case Comparison(field, field_type, bound, value):
            prefix, key = _prefix(field, field_type), key_of(value, field_type)
            if field_type in (FieldType.STRING, FieldType.VERSION):
                return TermRange(prefix, bound, prefix + key)
            return AnyOf([prefix + part for part in covering_prefixes(key, bound)])


def _prefix(field: str, field_type: FieldType) -> str:
    return f"{field}{SEPARATOR}{CODES[field_type]}"


def _existence_term(field: str, field_type: FieldType) -> str:
    return f"{field}{SEPARATOR}?{CODES[field_type]}"


def _value_terms(field: str, field_type: FieldType, value: MetadataScalar) -> Iterator[str]:
    prefix, key = _prefix(field, field_type), key_of(value, field_type)
    yield prefix + key
    if field_type in (FieldType.NUMBER, FieldType.TIMESTAMP):
        for length in range(1, len(key)):
            yield prefix + key[:length]
