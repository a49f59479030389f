"""The metadata filter language: parse, validate, evaluate, and a canonical form for cache keys.

Grammar, in JSON: an object maps field names to conditions, all of which must hold. A condition is a plain value
(equality) or an object of operators ``$eq $ne $gt $gte $lt $lte $in $nin $exists $not``. ``$and``, ``$or`` (lists of
filters) and ``$not`` (one filter) combine filters. What each operator means for each type and for a missing field
stands in ``corpus.filters.expression``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from corpus.domain import BUILT_IN_FIELDS, FieldType, MetadataValue
from corpus.filters.canonical import canonical_text
from corpus.filters.expression import (
    Bound,
    Comparison,
    Conjunction,
    Disjunction,
    Existence,
    Expression,
    Membership,
    Negation,
    evaluate,
)
from corpus.filters.parsing import FilterParser

__all__ = [
    "Bound",
    "Comparison",
    "Conjunction",
    "Disjunction",
    "Existence",
    "Expression",
    "Filter",
    "Membership",
    "Negation",
    "parse_filter",
]


@dataclass(frozen=True, slots=True)
class Filter:
    """A validated filter. Two filters are equal if their canonical forms are.

    Attributes:
        expression: Tree of conditions that adapters translate.
        canonical: Canonical text of the tree.
        fingerprint: First 128 bits of the SHA-256 of ``canonical`` in hexadecimal, for cache keys. Stable across
            processes.
    """

    expression: Expression = field(compare=False)
    canonical: str = field(init=False)
    fingerprint: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        canonical = canonical_text(self.expression)
        object.__setattr__(self, "canonical", canonical)
        object.__setattr__(self, "fingerprint", hashlib.sha256(canonical.encode()).hexdigest()[:32])

    def matches(self, metadata: Mapping[str, MetadataValue]) -> bool:
        """Whether a row with this validated metadata (built-in fields included) passes.

        Every store must agree with this.
        """
        return evaluate(self.expression, metadata)


def parse_filter(raw: Mapping[str, object] | None, declared: Mapping[str, FieldType]) -> Filter | None:
    """Validates a filter against the tenant's declared fields and the built-in ones.

    Args:
        raw: JSON-like input: objects, lists, strings, numbers, booleans.
        declared: The tenant's fields; ``BUILT_IN_FIELDS`` are added, and win.

    Returns:
        The filter, or None when there is nothing to filter by (None or an empty object).

    Raises:
        InvalidRequest: UNDECLARED_FIELD (names the field, the declared ones and what to do), INVALID_FILTER (names
            the place).
    """
    if raw is None:
        return None
    expression = FilterParser({**declared, **BUILT_IN_FIELDS}).parse(raw)
    return None if expression == Conjunction(()) else Filter(expression)
