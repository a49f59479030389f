"""Metadata as properties of an object, and prefilters as the server's filters.

**Equality, membership, existence, and ranges over numbers and timestamps** are lookups of terms in one property, a list
of texts: ``field US code value``. So no field needs a property of its own, whatever fields tenants declare, and values
keep every bit: the server's numbers are doubles, its dates begin in 1677.

**Ranges over strings and versions** need an ordered property with one value per object, because the server applies
each bound to a list by itself: a list with one element above the lower and another below the upper bound would match
both. The ordered properties are *slots*: the first text of a row goes to slot 0 with its field's name in front, the
next one to slot 1. A range asks every slot for values between two that begin with the field's name. There are as many
slots as the row with most texts needs, at most twice the limit of metadata keys. The built-in fields, which differ
from document to document, have slots of their own: a range over a tenant's field does not read through all titles.

Texts are compared by their UTF-8 bytes, which is code point order. `field` tokenization trims white space; every
indexed text here begins and ends with a character that is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from weaviate.proto.v1 import base_pb2

from corpus.adapters.facet_keys import CODES, SEPARATOR, covering_prefixes, key_of, types_of
from corpus.domain import BUILT_IN_FIELDS, FieldType, Metadata, MetadataScalar
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
from corpus.ports import Prefilter

TOKENS = "tokens"
LEVEL = "level"
FACETS = "facets"
BUILT_IN_SLOTS: Mapping[str, str] = {
    name: f"text_{name}" for name, kind in BUILT_IN_FIELDS.items() if kind is FieldType.STRING
}

_SLOT_PREFIX = "text_slot_"
_TEXT_TYPES = (FieldType.STRING, FieldType.VERSION)
_LONGEST_PLAIN_VALUE = 48
_END = "."

# Orders as the text does, with an end that sorts below every character and is no white space: the characters up to
# U+0002 are written as U+0002 and one more.
_ORDER_END = "\x01"
_ESCAPES = {0: "\x02\x03", 1: "\x02\x04", 2: "\x02\x05"}

_OPERATORS = {
    Bound.GREATER: base_pb2.Filters.OPERATOR_GREATER_THAN,
    Bound.GREATER_OR_EQUAL: base_pb2.Filters.OPERATOR_GREATER_THAN_EQUAL,
    Bound.LESS: base_pb2.Filters.OPERATOR_LESS_THAN,
    Bound.LESS_OR_EQUAL: base_pb2.Filters.OPERATOR_LESS_THAN_EQUAL,
}

Condition = base_pb2.Filters | bool
"""A filter of the server, or what is known without asking it."""


def slot_property(place: int) -> str:
    """Name of a slot's property."""
    return f"{_SLOT_PREFIX}{place}"


def slots_among(properties: Sequence[str]) -> int:
    """How many slots there are, counted from 0 without a gap."""
    count = 0
    while slot_property(count) in properties:
        count += 1
    return count


def token_text(token: str) -> str:
    """An access token as it is indexed."""
    return f"={token}{_END}"


def token_of(text: str) -> str:
    """Inverse of ``token_text``."""
    return text[1 : -len(_END)]


def facet_terms(metadata: Metadata) -> Iterator[str]:
    """Terms of a row: of every value that could be filtered on, whether its field is declared or not."""
    for field, value in metadata.items():
        if FIELD_NAME.fullmatch(field):
            for field_type in types_of(field, value):
                yield _existence_term(field, field_type)
                for element in value if isinstance(value, tuple) else (value,):
                    yield from _value_terms(field, field_type, element)


def ordered_texts(metadata: Metadata) -> Mapping[str, str]:
    """Property → ordered text of a row."""
    placed: dict[str, str] = {}
    rest: list[str] = []
    for field, value in metadata.items():
        if isinstance(value, str) and FIELD_NAME.fullmatch(field):
            keys = [_ordered(field, field_type, value) for field_type in types_of(field, value)]
            if field in BUILT_IN_SLOTS:
                placed[BUILT_IN_SLOTS[field]] = keys[0]
            else:
                rest += keys
    return placed | {slot_property(place): key for place, key in enumerate(sorted(rest))}


def slots_needed(metadata: Metadata) -> int:
    """How many slots the texts of a row take."""
    return sum(property_name.startswith(_SLOT_PREFIX) for property_name in ordered_texts(metadata))


def asks_slots(expression: Expression) -> bool:
    """Whether a filter has a range for which the number of slots must be known."""
    match expression:
        case Comparison(field, field_type, _, _):
            return field_type in _TEXT_TYPES and field not in BUILT_IN_SLOTS
        case Negation(operand):
            return asks_slots(operand)
        case Conjunction(operands) | Disjunction(operands):
            return any(asks_slots(operand) for operand in operands)
        case _:
            return False


def prefilter_condition(prefilter: Prefilter, slots: int) -> Condition:
    """What a row must satisfy besides being in the tenant."""
    level = base_pb2.Filters(operator=_OPERATORS[Bound.LESS_OR_EQUAL], value_int=prefilter.clearance, target=_on(LEVEL))
    tokens = _contains_any(TOKENS, [token_text(token) for token in sorted(prefilter.access_tokens)])
    condition = True if prefilter.filter is None else filter_condition(prefilter.filter.expression, slots)
    return _all_of([tokens, level, condition])


def filter_condition(expression: Expression, slots: int) -> Condition:
    """A condition that holds for exactly the rows for which ``corpus.filters.expression.evaluate`` is true."""
    match expression:
        case Membership(field, field_type, values):
            return _contains_any(FACETS, sorted({_exact_term(field, field_type, value) for value in values}))
        case Comparison(field, field_type, bound, value):
            if field_type in _TEXT_TYPES:
                return _text_range(field, field_type, bound, value, slots)
            parts = covering_prefixes(key_of(value, field_type), bound)
            return _contains_any(FACETS, [_term(field, field_type, part) for part in parts])
        case Existence(field, field_type):
            return _contains_any(FACETS, [_existence_term(field, field_type)])
        case Negation(operand):
            return _not(filter_condition(operand, slots))
        case Conjunction(operands):
            return _all_of([filter_condition(operand, slots) for operand in operands])
        case Disjunction(operands):
            return _any_of([filter_condition(operand, slots) for operand in operands])


def contains_any(property_name: str, values: Sequence[str]) -> base_pb2.Filters:
    """The property, or one of its elements, is one of at least one value."""
    return base_pb2.Filters(
        operator=base_pb2.Filters.OPERATOR_CONTAINS_ANY,
        value_text_array=base_pb2.TextArray(values=values),
        target=_on(property_name),
    )


def _contains_any(property_name: str, values: Sequence[str]) -> Condition:
    return contains_any(property_name, values) if values else False


def _all_of(conditions: Sequence[Condition]) -> Condition:
    return _joined(conditions, base_pb2.Filters.OPERATOR_AND, neutral=True)


def _any_of(conditions: Sequence[Condition]) -> Condition:
    return _joined(conditions, base_pb2.Filters.OPERATOR_OR, neutral=False)


def _joined(conditions: Sequence[Condition], operator: base_pb2.Filters.Operator, *, neutral: bool) -> Condition:
    if any(condition is (not neutral) for condition in conditions):
        return not neutral
    asked = [condition for condition in conditions if not isinstance(condition, bool)]
    if len(asked) > 1:
        return base_pb2.Filters(operator=operator, filters=asked)
    return asked[0] if asked else neutral


def _not(condition: Condition) -> Condition:
    if isinstance(condition, bool):
        return not condition
    return base_pb2.Filters(operator=base_pb2.Filters.OPERATOR_NOT, filters=[condition])


def _on(property_name: str) -> base_pb2.FilterTarget:
    return base_pb2.FilterTarget(property=property_name)


def _text_range(field: str, field_type: FieldType, bound: Bound, value: MetadataScalar, slots: int) -> Condition:
    operand = _ordered(field, field_type, value)
    first = f"{field}{SEPARATOR}{CODES[field_type]}"
    behind_last = f"{field}{SEPARATOR}{chr(ord(CODES[field_type]) + 1)}"
    below = bound in (Bound.LESS, Bound.LESS_OR_EQUAL)
    other_bound, other = (Bound.GREATER, first) if below else (Bound.LESS, behind_last)
    own = BUILT_IN_SLOTS.get(field)
    return _any_of(
        [
            _all_of([_compared(slot, bound, operand), _compared(slot, other_bound, other)])
            for slot in ([own] if own else [slot_property(place) for place in range(slots)])
        ]
    )


def _compared(property_name: str, bound: Bound, operand: str) -> Condition:
    return base_pb2.Filters(operator=_OPERATORS[bound], value_text=operand, target=_on(property_name))


def _ordered(field: str, field_type: FieldType, value: MetadataScalar) -> str:
    escaped = key_of(value, field_type).translate(_ESCAPES)
    return f"{field}{SEPARATOR}{CODES[field_type]}{escaped}{_ORDER_END}"


def _existence_term(field: str, field_type: FieldType) -> str:
    return f"{field}{SEPARATOR}?{CODES[field_type]}"


def _exact_term(field: str, field_type: FieldType, value: MetadataScalar) -> str:
    return _term(field, field_type, key_of(value, field_type))


def _term(field: str, field_type: FieldType, key: str) -> str:
    if len(key) > _LONGEST_PLAIN_VALUE:
        # A term need not show its value. The mark keeps it apart from a plain value that looks like it.
        digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return f"{field}{SEPARATOR}#{CODES[field_type]}{digest}{_END}"
    return f"{field}{SEPARATOR}{CODES[field_type]}{key}{_END}"


def _value_terms(field: str, field_type: FieldType, value: MetadataScalar) -> Iterator[str]:
    key = key_of(value, field_type)
    yield _term(field, field_type, key)
    if field_type in (FieldType.NUMBER, FieldType.TIMESTAMP):
        for length in range(1, len(key)):
            yield _term(field, field_type, key[:length])
