"""Random filters and metadata that make each other interesting: few fields, few values, every operator and type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from corpus.domain import FieldType, MetadataValue

FIELDS: Mapping[str, FieldType] = {
    "label": FieldType.STRING,
    "size": FieldType.NUMBER,
    "draft": FieldType.BOOLEAN,
    "at": FieldType.TIMESTAMP,
    "release": FieldType.VERSION,
    "tags": FieldType.STRING_LIST,
    "codes": FieldType.NUMBER_LIST,
}

_STRINGS = st.sampled_from(["", "a", "b", "ab", "é", "\U0001f600", "z" * 200, "a b", "x\x1fy", "?s"])
_NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.5, 2.0**53, 1e308, -1e308, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False, width=64),
)
_TIMES = st.one_of(
    st.sampled_from([datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=each) for each in (-1, 0, 1, 10**9)]),
    st.datetimes(timezones=st.just(UTC)),
)
_VERSIONS = st.sampled_from(["1.0", "1.0.0", "v1", "1.0rc1", "2.9", "2.10", "2.10.dev1", "rev-b", "RFC-7519", "1.1.1w"])

_OF_TYPE: Mapping[FieldType, st.SearchStrategy[MetadataValue]] = {
    FieldType.STRING: _STRINGS,
    FieldType.NUMBER: _NUMBERS.map(lambda number: number + 0.0),
    FieldType.BOOLEAN: st.booleans(),
    FieldType.TIMESTAMP: _TIMES,
    FieldType.VERSION: _VERSIONS,
    FieldType.STRING_LIST: st.lists(_STRINGS, max_size=3).map(tuple),
    FieldType.NUMBER_LIST: st.lists(_NUMBERS, max_size=3).map(tuple),
}
_ELEMENTS = {**_OF_TYPE, FieldType.STRING_LIST: _STRINGS, FieldType.NUMBER_LIST: _NUMBERS}

# Now and then a value of another type than declared, as in documents stored before the declaration.
_ANY_VALUE = st.one_of(*_OF_TYPE.values())

metadata: st.SearchStrategy[Mapping[str, MetadataValue]] = st.fixed_dictionaries(
    {}, optional={name: st.one_of(_OF_TYPE[kind], _OF_TYPE[kind], _ANY_VALUE) for name, kind in FIELDS.items()}
)


def _operand(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


@st.composite
def _condition(draw: st.DrawFn) -> dict[str, object]:
    name = draw(st.sampled_from(sorted(FIELDS)))
    element = _ELEMENTS[FIELDS[name]].map(_operand)
    ordered = FIELDS[name] in (FieldType.STRING, FieldType.NUMBER, FieldType.TIMESTAMP, FieldType.VERSION)
    operators = ["$eq", "$ne", "$in", "$nin", "$exists", *(["$gt", "$gte", "$lt", "$lte"] if ordered else [])]
    operator = draw(st.sampled_from(operators))
    if operator == "$exists":
        return {name: {operator: draw(st.booleans())}}
    operand = draw(st.lists(element, max_size=3)) if operator in ("$in", "$nin") else draw(element)
    return {name: draw(st.sampled_from([{operator: operand}, {"$not": {operator: operand}}]))}


raw_filters: st.SearchStrategy[dict[str, object]] = st.recursive(
    _condition(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"$and": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"$or": each}),
        inner.map(lambda each: {"$not": each}),
    ),
    max_leaves=4,
)
