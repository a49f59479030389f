"""Metadata as index terms, and filters as queries over them.

Every value becomes a term ``field US code value``, so that equality, membership and existence are exact term lookups.
Every prefix of the key of a number or timestamp is a term of its own, so a range is the union of some terms
(``corpus.adapters.facet_keys``). The binding has no ranges over text, so ranges over strings and versions look their
terms up in the dictionary.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence

import tantivy

from corpus.adapters.facet_keys import CODES, SEPARATOR, covering_prefixes, key_of, types_of
from corpus.domain import FieldType, Metadata, MetadataScalar
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

FIELD = "facets"

TermsWithPrefix = Callable[[str], Sequence[str]]
"""All terms of the facet field that start with a prefix, sorted."""


def facet_terms(metadata: Metadata) -> Iterator[str]:
    """Terms of a row. A row does not know which fields are declared, so every value that could be filtered on has its
    terms; a string has those of a version too."""
    for field, value in metadata.items():
        if FIELD_NAME.fullmatch(field):
            for field_type in types_of(field, value):
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


def _prefix(field: str, field_type: FieldType) -> str:
    return f"{field}{SEPARATOR}{CODES[field_type]}"


def _existence_term(field: str, field_type: FieldType) -> str:
    return f"{field}{SEPARATOR}?{CODES[field_type]}"


def _value_terms(field: str, field_type: FieldType, value: MetadataScalar) -> Iterator[str]:
    key = key_of(value, field_type)
    yield _prefix(field, field_type) + key
    if field_type in (FieldType.NUMBER, FieldType.TIMESTAMP):
        for length in range(1, len(key)):
            yield _prefix(field, field_type) + key[:length]


def _exact_term(field: str, field_type: FieldType, value: MetadataScalar) -> str:
    return _prefix(field, field_type) + key_of(value, field_type)


def _range_terms(
    field: str, field_type: FieldType, bound: Bound, value: MetadataScalar, terms_with_prefix: TermsWithPrefix
) -> Sequence[str]:
    prefix = _prefix(field, field_type)
    key = key_of(value, field_type)
    if field_type in (FieldType.STRING, FieldType.VERSION):
        terms = terms_with_prefix(prefix)
        return _slice_of(terms, prefix + key, bound)
    return [prefix + part for part in covering_prefixes(key, bound)]


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
