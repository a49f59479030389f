"""Searches of the lexical index as Elasticsearch requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from corpus.adapters.elasticsearch.lexical_schema import (
    ACCESS,
    FACETS,
    HEADLINE,
    LEVEL,
    MENTIONS,
    NAMES,
    ORIGIN,
    TEXT,
    index_term,
)
from corpus.adapters.facet_terms import AnyOf, TermRange, condition_terms
from corpus.adapters.lexical_links import MOST_LINKED, SEED_ROWS
from corpus.adapters.lexical_ranking import HEADLINE_WEIGHT
from corpus.filters import Bound, Comparison, Conjunction, Disjunction, Existence, Expression, Membership, Negation
from corpus.ports import Prefilter

Clause = dict[str, Any]

_OPERATORS: Final = {
    Bound.GREATER: "gt",
    Bound.GREATER_OR_EQUAL: "gte",
    Bound.LESS: "lt",
    Bound.LESS_OR_EQUAL: "lte",
}
_MAX_TERMS_OF_CLAUSE: Final = 60_000
"""``index.max_terms_count`` is 65,536."""


def search_request(terms: Sequence[str], k: int, filters: Sequence[Clause]) -> dict[str, Any]:
    """Body of a search for distinct terms. The score of a hit is its first sort value, its origin the second; nothing
    else of it is fetched."""
    return {
        "query": {
            "bool": {"should": list(_term_clauses(terms)), "minimum_should_match": 1, "filter": list(filters)},
        },
        "sort": [{"_score": "desc"}, {ORIGIN: "asc"}],
        "size": k,
        "_source": False,
        "stored_fields": "_none_",
        "track_total_hits": False,
    }


def linking_request(terms: Sequence[str], filters: Sequence[Clause]) -> dict[str, Any]:
    """Body of a search for the rows whose mentions are followed, which come with the hits."""
    request = search_request(terms, SEED_ROWS, filters)
    del request["stored_fields"]
    return {**request, "_source": [NAMES, MENTIONS]}


def linked_request(terms: Sequence[str], names: Sequence[str], filters: Sequence[Clause]) -> dict[str, Any]:
    """Body of a search for the rows that bear one of the names, those first that have most to do with the terms."""
    return {
        "query": {
            "bool": {
                "should": [{"term": {TEXT: {"value": index_term(term)}}} for term in terms],
                "filter": [_any_of(NAMES, names), *filters],
            }
        },
        "sort": [{"_score": "desc"}, {ORIGIN: "asc"}],
        "size": MOST_LINKED,
        "_source": [NAMES],
        "track_total_hits": False,
    }


def prefilter_clauses(prefilter: Prefilter) -> list[Clause]:
    """What a row must satisfy, for the filter context: it adds nothing to a score."""
    clauses = [_any_of(ACCESS, sorted(prefilter.access_tokens)), {"range": {LEVEL: {"lte": prefilter.clearance}}}]
    if prefilter.filter is not None:
        clauses.append(filter_clause(prefilter.filter.expression))
    return clauses


def filter_clause(node: Expression) -> Clause:
    """A clause that matches exactly the rows for which ``corpus.filters.expression.evaluate`` is true.

    Elasticsearch refuses queries nested deeper than 30. One level here holds a conjunction together with its negations
    and one disjunction, so a filter as deep as the parser allows stays below 20.
    """
    match node:
        case Membership() | Comparison() | Existence():
            return _condition(node)
        case Negation(operand):
            return {"bool": {"must_not": [filter_clause(operand)]}}
        case Conjunction(operands):
            return _all_of([*_flat(operands, Conjunction)])
        case Disjunction(operands):
            clauses = [filter_clause(each) for each in _flat(operands, Disjunction)]
            return {"bool": {"should": clauses, "minimum_should_match": 1}} if clauses else {"match_none": {}}


def _term_clauses(terms: Sequence[str]) -> Iterator[Clause]:
    for term in map(index_term, terms):
        yield {"term": {TEXT: {"value": term}}}
        yield {"term": {HEADLINE: {"value": term, "boost": HEADLINE_WEIGHT}}}


def _condition(condition: Membership | Comparison | Existence) -> Clause:
    match condition_terms(condition):
        case AnyOf(terms):
            return _any_of(FACETS, terms)
        case TermRange(prefix, bound, term):
            # The end of the range is the first text that follows all of those with the prefix, or the prefix itself.
            is_lower = bound in (Bound.GREATER, Bound.GREATER_OR_EQUAL)
            end = {"lt": prefix[:-1] + chr(ord(prefix[-1]) + 1)} if is_lower else {"gte": prefix}
            return {"range": {FACETS: {_OPERATORS[bound]: term, **end}}}


def _any_of(field: str, terms: Sequence[str]) -> Clause:
    parts = [terms[start : start + _MAX_TERMS_OF_CLAUSE] for start in range(0, len(terms), _MAX_TERMS_OF_CLAUSE)]
    clauses: list[Clause] = [{"terms": {field: list(part)}} for part in parts]
    if len(clauses) == 1:
        return clauses[0]
    return {"bool": {"should": clauses, "minimum_should_match": 1}} if clauses else {"match_none": {}}


def _all_of(operands: Sequence[Expression]) -> Clause:
    filters: list[Clause] = []
    unions: list[Clause] = []
    excluded: list[Clause] = []
    for operand in operands:
        match operand:
            case Negation(inner):
                excluded.append(filter_clause(inner))
            case Disjunction(inner) if inner:
                unions.append(filter_clause(operand))
            case _:
                filters.append(filter_clause(operand))
    if not (filters or unions or excluded):
        return {"match_all": {}}
    # The deepest disjunction shares this level, the others get one of their own.
    unions.sort(key=_depth)
    shared: Clause = unions.pop()["bool"] if unions else {}
    return {"bool": {**shared, "filter": [*filters, *unions], "must_not": excluded}}


def _flat(operands: Sequence[Expression], kind: type[Conjunction | Disjunction]) -> Iterator[Expression]:
    for operand in operands:
        if isinstance(operand, Conjunction | Disjunction) and isinstance(operand, kind):
            yield from _flat(operand.operands, kind)
        else:
            yield operand


def _depth(clause: Clause) -> int:
    groups = clause.get("bool", {})
    inner = [each for name in ("filter", "should", "must_not") for each in groups.get(name, ())]
    return 1 + max(map(_depth, inner), default=0)
