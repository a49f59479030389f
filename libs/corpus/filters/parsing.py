"""From JSON-like input to a validated filter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chassis.errors import InvalidRequest
from corpus.domain import BUILT_IN_FIELDS, FieldType, MetadataScalar
from corpus.filters.expression import (
    Bound,
    Comparison,
    Conjunction,
    Disjunction,
    Existence,
    Expression,
    Membership,
    Negation,
)
from corpus.filters.values import EXPECTED, LIST_TYPES, ORDERED_TYPES, WrongTypeError, coerce_scalar

# Far above what people write, far below what makes a query slow: evaluation cost is linear in conditions and values.
MAX_DEPTH = 16
MAX_CONDITIONS = 256
MAX_VALUES = 4_096
MAX_STRING_CHARACTERS = 4_096

FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""What a declared field may be called: safe as a property name in every engine, and never mistaken for an operator."""

_BOUNDS = {str(bound): bound for bound in Bound}
_OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not")


@dataclass(slots=True)
class FilterParser:
    """One parse: knows the fields and counts what was read against the limits."""

    fields: Mapping[str, FieldType]
    conditions: int = 0
    values: int = 0

    def parse(self, raw: object, path: str = "filter", depth: int = 0) -> Expression:
        """One object of conditions, all of which must hold.

        Raises InvalidRequest INVALID_FILTER or UNDECLARED_FIELD.
        """
        if depth > MAX_DEPTH:
            raise invalid_filter(path, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        if not isinstance(raw, Mapping):
            raise invalid_filter(path, 'must be an object of conditions, for instance {"year": {"$gte": 2024}}')
        operands: list[Expression] = []
        for name, operand in raw.items():
            if not isinstance(name, str):
                raise invalid_filter(path, "has a key that is no string")
            if name in ("$and", "$or"):
                operands.append(self._junction(name, operand, f"{path}.{name}", depth))
            elif name == "$not":
                operands.append(Negation(self.parse(operand, f"{path}.$not", depth + 1)))
            elif name.startswith("$"):
                raise invalid_filter(path, "has an unknown operator at its top; use $and, $or, $not or a field name")
            else:
                operands.append(self._field(name, operand, path, depth))
        return operands[0] if len(operands) == 1 else Conjunction(tuple(operands))

    def _junction(self, name: str, raw: object, path: str, depth: int) -> Expression:
        if isinstance(raw, str) or not isinstance(raw, Sequence) or not raw:
            raise invalid_filter(path, "must be a list of at least one filter")
        self._count_condition(path)
        operands = tuple(self.parse(each, f"{path}[{place}]", depth + 1) for place, each in enumerate(raw))
        return Conjunction(operands) if name == "$and" else Disjunction(operands)

    def _field(self, name: str, raw: object, path: str, depth: int) -> Expression:
        field_type = self.fields.get(name)
        if field_type is None:
            raise self._undeclared(name)
        here = f"{path}.{name}"
        if not isinstance(raw, Mapping):
            return self._membership(name, field_type, (raw,), here)
        return self._conditions(name, field_type, raw, here, depth)

    def _conditions(
        self, name: str, field_type: FieldType, raw: Mapping[object, object], path: str, depth: int
    ) -> Expression:
        if depth > MAX_DEPTH:
            raise invalid_filter(path, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        if not raw:
            raise invalid_filter(path, f"needs an operator: {', '.join(_OPERATORS)}")
        operands = [
            self._condition(name, field_type, operator, operand, path, depth) for operator, operand in raw.items()
        ]
        return operands[0] if len(operands) == 1 else Conjunction(tuple(operands))

    def _condition(
        self, name: str, field_type: FieldType, operator: object, operand: object, path: str, depth: int
    ) -> Expression:
        if operator not in _OPERATORS:
            raise invalid_filter(path, f"has an unknown operator; known are {', '.join(_OPERATORS)}")
        here = f"{path}.{operator}"
        if operator == "$not":
            if not isinstance(operand, Mapping):
                raise invalid_filter(here, 'must be an object of operators, for instance {"$not": {"$gt": 3}}')
            return Negation(self._conditions(name, field_type, operand, here, depth + 1))
        if operator == "$exists":
            self._count_condition(here)
            if not isinstance(operand, bool):
                raise invalid_filter(here, "must be true or false")
            existence = Existence(name, field_type)
            return existence if operand else Negation(existence)
        if operator in _BOUNDS:
            return self._comparison(name, field_type, _BOUNDS[str(operator)], operand, here)
        values: Sequence[object] = (operand,)
        if operator in ("$in", "$nin"):
            if isinstance(operand, str) or not isinstance(operand, Sequence):
                raise invalid_filter(here, "must be a list of values")
            values = operand
        membership = self._membership(name, field_type, values, here)
        return Negation(membership) if operator in ("$ne", "$nin") else membership

    def _comparison(self, name: str, field_type: FieldType, bound: Bound, raw: object, path: str) -> Comparison:
        if field_type not in ORDERED_TYPES:
            raise invalid_filter(path, f"is no operator for a {field_type} field; use $eq, $ne, $in, $nin or $exists")
        self._count_condition(path)
        return Comparison(name, field_type, bound, self._value(raw, field_type, path))

    def _membership(self, name: str, field_type: FieldType, raw: Sequence[object], path: str) -> Membership:
        self._count_condition(path)
        return Membership(name, field_type, tuple(self._value(each, field_type, path) for each in raw))

    def _value(self, raw: object, field_type: FieldType, path: str) -> MetadataScalar:
        self.values += 1
        if self.values > MAX_VALUES:
            raise invalid_filter(path, f"is too large: a filter holds at most {MAX_VALUES} values")
        if raw is None:
            raise invalid_filter(path, 'compares with null; use {"$exists": false} for a missing field')
        if isinstance(raw, str) and len(raw) > MAX_STRING_CHARACTERS:
            raise invalid_filter(path, f"has a string of more than {MAX_STRING_CHARACTERS} characters")
        try:
            return coerce_scalar(raw, field_type)
        except WrongTypeError:
            element = ", one element of the list" if field_type in LIST_TYPES else ""
            expected = EXPECTED[field_type] if not element else f"a value of the field's {field_type}{element}"
            raise invalid_filter(path, f"must compare with {expected}") from None

    def _count_condition(self, path: str) -> None:
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            raise invalid_filter(path, f"is too large: a filter holds at most {MAX_CONDITIONS} conditions")

    def _undeclared(self, name: str) -> InvalidRequest:
        shown = name if FIELD_NAME.fullmatch(name) else "(not a possible field name)"
        own = sorted(set(self.fields) - set(BUILT_IN_FIELDS))
        declared = ", ".join(own) if own else "none"
        return InvalidRequest(
            f"The filter uses the field {shown}, which the tenant has not declared. Declared: {declared}; built in: "
            f"{', '.join(BUILT_IN_FIELDS)}. Declare the field for the tenant, then store the documents again.",
            reason="UNDECLARED_FIELD",
            metadata={"field": shown, "declared": ",".join(own), "built_in": ",".join(BUILT_IN_FIELDS)},
        )


def invalid_filter(path: str, problem: str) -> InvalidRequest:
    """The error for a filter that breaks the grammar. ``path`` says where, in terms of the caller's own keys."""
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    return InvalidRequest(f"{shown} {problem}.", reason="INVALID_FILTER", metadata={"path": shown})
