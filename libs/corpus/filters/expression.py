"""The filter language as a tree of six node types, and its reference evaluator.

Every operator comes down to a node with two-valued logic, which is what gives a missing field its meaning: no
comparison is true of a missing value, and a negation is true exactly where its operand is not.

=================  =====================================  ===========================  =======================
operator           node                                   types                        missing field
=================  =====================================  ===========================  =======================
``$eq``            Membership of one value                all                          false
``$ne``            Negation of ``$eq``                    all                          true
``$in``            Membership (empty: false)              all                          false
``$nin``           Negation of ``$in`` (empty: true)      all                          true
``$gt`` ``$gte``   Comparison                             string, number, timestamp,   false
``$lt`` ``$lte``                                          version
``$exists: true``  Existence                              all                          false
``$exists: false`` Negation of Existence                  all                          true
``$and``           Conjunction                            —                            by operands
``$or``            Disjunction                            —                            by operands
``$not``           Negation                               —                            by operand
=================  =====================================  ===========================  =======================

How values compare: strings by code points, case-sensitive; numbers as doubles; timestamps as instants; versions by
``corpus.filters.versions``, so "1.0" equals "1.0.0"; booleans only for equality. On a list field ``$eq`` and ``$in``
mean "contains" ("contains one of"), so ``$ne`` and ``$nin`` mean "contains none"; lists have no order. An empty list
exists and contains nothing. A stored value of another type than the field's counts as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from corpus.domain import FieldType, MetadataScalar, MetadataValue
from corpus.filters.values import comparable, elements


class Bound(StrEnum):
    """Ordering operators."""

    GREATER = "$gt"
    GREATER_OR_EQUAL = "$gte"
    LESS = "$lt"
    LESS_OR_EQUAL = "$lte"


@dataclass(frozen=True, slots=True)
class Membership:
    """The field's value, or one element of its list, equals one of ``values``."""

    field: str
    field_type: FieldType
    values: tuple[MetadataScalar, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The field's value is on the right side of ``value``."""

    field: str
    field_type: FieldType
    bound: Bound
    value: MetadataScalar


@dataclass(frozen=True, slots=True)
class Existence:
    """The field has a value of its declared type."""

    field: str
    field_type: FieldType


@dataclass(frozen=True, slots=True)
class Conjunction:
    """All of ``operands`` hold; true without any."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    """One of ``operands`` holds; false without any."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """``operand`` does not hold."""

    operand: Expression


Expression = Membership | Comparison | Existence | Conjunction | Disjunction | Negation


def evaluate(expression: Expression, metadata: Mapping[str, MetadataValue]) -> bool:
    """Whether metadata satisfies the expression. This is the reference that every store must agree with."""
    match expression:
        case Conjunction(operands):
            return all(evaluate(operand, metadata) for operand in operands)
        case Disjunction(operands):
            return any(evaluate(operand, metadata) for operand in operands)
        case Negation(operand):
            return not evaluate(operand, metadata)
        case Existence(field, field_type):
            return elements(metadata.get(field), field_type) is not None
        case Membership(field, field_type, values):
            found = elements(metadata.get(field), field_type) or ()
            wanted = {comparable(value, field_type) for value in values}
            return any(comparable(element, field_type) in wanted for element in found)
        case Comparison(field, field_type, bound, value):
            found = elements(metadata.get(field), field_type) or ()
            operand_key = comparable(value, field_type)
            return any(_is_within(comparable(element, field_type), bound, operand_key) for element in found)


def _is_within(value: MetadataScalar, bound: Bound, operand: MetadataScalar) -> bool:
    # Both sides have the field's type, which the parser and ``elements`` made sure of; mypy can't know.
    match bound:
        case Bound.GREATER:
            return value > operand  # type: ignore[operator]
        case Bound.GREATER_OR_EQUAL:
            return value >= operand  # type: ignore[operator]
        case Bound.LESS:
            return value < operand  # type: ignore[operator]
        case Bound.LESS_OR_EQUAL:
            return value <= operand  # type: ignore[operator]
