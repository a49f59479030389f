"""Filters as queries over the terms of metadata (``corpus.adapters.facet_terms``). The binding has no ranges over text,
so ranges over strings and versions look their terms up in the dictionary.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import tantivy

from corpus.adapters.facet_terms import AnyOf, TermRange, condition_terms
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

FIELD = "facets"

TermsWithPrefix = Callable[[str], Sequence[str]]
"""All terms of the facet field that start with a prefix, sorted."""


def filter_query(schema: tantivy.Schema, expression: Expression, terms_with_prefix: TermsWithPrefix) -> tantivy.Query:
    """A query that matches exactly the rows for which ``corpus.filters.expression.evaluate`` is true.

    Its scores mean nothing.
    """

    def any_of(terms: Sequence[str]) -> tantivy.Query:
        return tantivy.Query.term_set_query(schema, FIELD, list(terms)) if terms else tantivy.Query.empty_query()

    def translate(node: Expression) -> tantivy.Query:
        match node:
            case Membership() | Comparison() | Existence():
                return any_of(_matching_terms(node, terms_with_prefix))
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


def _matching_terms(
    condition: Membership | Comparison | Existence, terms_with_prefix: TermsWithPrefix
) -> Sequence[str]:
    match condition_terms(condition):
        case AnyOf(terms):
            return terms
        case TermRange(prefix, bound, term):
            return _slice_of(terms_with_prefix(prefix), term, bound)


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
