"""Canonical text of a filter: equal for filters that differ only in order, repetition or nesting of the same
conditions.
"""

from __future__ import annotations

import json
from datetime import datetime

from corpus.domain import MetadataScalar
from corpus.filters.expression import (
    Comparison,
    Conjunction,
    Disjunction,
    Existence,
    Expression,
    Membership,
    Negation,
)


def canonical_text(expression: Expression) -> str:
    """Compact JSON that names every operand with its type. Filters with equal text accept the same rows."""
    match expression:
        case Membership(field, field_type, values):
            operands = sorted({_scalar_text(value) for value in values})
            return f'["in",{_text(field)},"{field_type}",[{",".join(operands)}]]'
        case Comparison(field, field_type, bound, value):
            return f'["{bound}",{_text(field)},"{field_type}",{_scalar_text(value)}]'
        case Existence(field, field_type):
            return f'["exists",{_text(field)},"{field_type}"]'
        case Negation(operand):
            if isinstance(operand, Negation):
                return canonical_text(operand.operand)
            return f'["not",{canonical_text(operand)}]'
        case Conjunction():
            return _joined("and", expression)
        case Disjunction():
            return _joined("or", expression)


def _joined(name: str, expression: Conjunction | Disjunction) -> str:
    operands: set[str] = set()
    pending: list[Expression] = list(expression.operands)
    while pending:
        operand = pending.pop()
        if type(operand) is type(expression):
            pending.extend(operand.operands)
        else:
            operands.add(canonical_text(operand))
    if len(operands) == 1:
        return operands.pop()
    return f'["{name}",{",".join(sorted(operands))}]' if operands else f'["{name}"]'


def _scalar_text(value: MetadataScalar) -> str:
    return _text(value.isoformat() if isinstance(value, datetime) else value)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True)
