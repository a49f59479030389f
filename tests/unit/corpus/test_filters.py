"""The filter language: what it accepts, what it means, how it fails."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from tests.contract import filters_strategy

from chassis.errors import InvalidRequest
from corpus.domain import FieldType, MetadataValue
from corpus.filters import Filter, parse_filter

FIELDS = filters_strategy.FIELDS
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ROW: dict[str, MetadataValue] = {
    "label": "b",
    "size": 2.0,
    "draft": False,
    "at": AT,
    "release": "2.10",
    "tags": ("x", "y"),
    "codes": (1.0, 2.0),
}


def matches(raw: dict[str, object], metadata: dict[str, MetadataValue] | None = None) -> bool:
    parsed = parse_filter(raw, FIELDS)
    assert parsed is not None
    return parsed.matches(ROW if metadata is None else metadata)


@pytest.mark.parametrize(
    "raw",
    [
        {"label": "b"},
        {"label": {"$gt": "a", "$lte": "b"}},
        {"label": {"$ne": "B"}},
        {"size": {"$in": [1, 2]}},
        {"size": {"$gte": 2, "$lt": 2.5}},
        {"draft": False},
        {"draft": {"$ne": True}},
        {"at": "2026-03-01T10:30:00+01:00"},
        {"at": {"$gt": "2026-03-01", "$lt": "2026-03-02"}},
        {"release": {"$gt": "2.9", "$lt": "2.11rc1"}},
        {"release": "v2.10.0"},
        {"tags": "x"},
        {"tags": {"$in": ["z", "y"], "$nin": ["q"]}},
        {"codes": {"$eq": 1}},
        {"$or": [{"label": "z"}, {"$not": {"size": 3}}]},
        {"label": {"$not": {"$in": ["x", "y"]}}, "size": 2},
        {"label": {"$exists": True}},
        {"$and": [{"label": "b"}, {"$and": [{"size": 2}]}]},
    ],
)
def test_a_condition_that_holds(raw: dict[str, object]) -> None:
    assert matches(raw)
    assert not matches({"$not": raw})


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_missing_field_satisfies_negations_only(name: str) -> None:
    value = {FieldType.NUMBER: 1, FieldType.NUMBER_LIST: 1, FieldType.BOOLEAN: True, FieldType.TIMESTAMP: "2026-01-01"}
    operand = value.get(FIELDS[name], "1.0")
    for operator in ("$eq", "$gt", "$gte", "$lt", "$lte"):
        ordered = FIELDS[name] in (FieldType.STRING, FieldType.NUMBER, FieldType.TIMESTAMP, FieldType.VERSION)
        if operator == "$eq" or ordered:
            assert not matches({name: {operator: operand}}, {})
            assert matches({name: {"$not": {operator: operand}}}, {})
    assert not matches({name: {"$in": [operand]}}, {})
    assert not matches({name: {"$exists": True}}, {})
    for raw in ({"$ne": operand}, {"$nin": [operand]}, {"$nin": []}, {"$exists": False}):
        assert matches({name: raw}, {})


def test_an_empty_membership_list_is_never_true_and_its_negation_always() -> None:
    assert not matches({"label": {"$in": []}})
    assert matches({"label": {"$nin": []}})


def test_a_value_of_another_type_counts_as_missing() -> None:
    for name in FIELDS:
        wrong: MetadataValue = 1.0 if name not in ("size", "codes") else "x"
        assert not matches({name: {"$exists": True}}, {name: wrong})


def test_true_is_not_one() -> None:
    assert not matches({"size": 1}, {"size": True})
    assert not matches({"draft": True}, {"draft": 1.0})


def test_an_empty_filter_is_no_filter() -> None:
    assert parse_filter(None, FIELDS) is None
    assert parse_filter({}, FIELDS) is None


def test_built_in_fields_need_no_declaration_and_win_over_one() -> None:
    parsed = parse_filter({"title": "x", "updated_at": {"$gte": "2026-01-01"}}, {"title": FieldType.NUMBER})
    assert parsed is not None
    assert parsed.matches({"title": "x", "updated_at": AT})


def test_an_undeclared_field_is_named_with_the_declared_ones_and_the_next_step() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_filter({"$or": [{"yaer": 1}]}, {"year": FieldType.NUMBER})
    assert caught.value.reason == "UNDECLARED_FIELD"
    assert caught.value.metadata["field"] == "yaer"
    for part in ("yaer", "year", "document_id", "Declare"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ([], "filter"),
        ({"$nor": []}, "filter"),
        ({"$and": {}}, "filter.$and"),
        ({"$or": []}, "filter.$or"),
        ({"$or": [{"label": "a"}, 3]}, "filter.$or[1]"),
        ({"label": {}}, "filter.label"),
        ({"label": {"$regex": "a"}}, "filter.label"),
        ({"label": None}, "filter.label"),
        ({"label": ["a"]}, "filter.label"),
        ({"label": {"$in": "a"}}, "filter.label.$in"),
        ({"label": {"$exists": 1}}, "filter.label.$exists"),
        ({"label": {"$not": "a"}}, "filter.label.$not"),
        ({"label": 3}, "filter.label"),
        ({"label": "\ud800"}, "filter.label"),
        ({"size": "3"}, "filter.size"),
        ({"size": True}, "filter.size"),
        ({"size": float("nan")}, "filter.size"),
        ({"size": {"$gt": 10**400}}, "filter.size.$gt"),
        ({"draft": {"$gt": False}}, "filter.draft.$gt"),
        ({"draft": 0}, "filter.draft"),
        ({"at": "yesterday"}, "filter.at"),
        ({"at": "2026-03-01T10:00:00"}, "filter.at"),
        ({"at": "2026-02-30"}, "filter.at"),
        ({"release": 2.1}, "filter.release"),
        ({"release": "1" * 129}, "filter.release"),
        ({"tags": {"$gt": "a"}}, "filter.tags.$gt"),
        ({"codes": {"$in": ["1"]}}, "filter.codes.$in"),
    ],
)
def test_a_bad_filter_is_refused_with_its_place(raw: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_filter(raw, FIELDS)
    assert caught.value.reason == "INVALID_FILTER"
    assert caught.value.metadata["path"] == path


def test_a_filter_of_unreasonable_size_is_refused() -> None:
    deep: dict[str, object] = {"label": "a"}
    for _ in range(2_000):
        deep = {"$not": deep}
    inside: dict[str, object] = {"$eq": "a"}
    for _ in range(2_000):
        inside = {"$not": inside}
    for raw in (
        deep,
        {"label": inside},
        {"$or": [{"label": "a"}] * 300},
        {"size": {"$in": list(range(5_000))}},
        {"label": "x" * 5_000},
    ):
        with pytest.raises(InvalidRequest) as caught:
            parse_filter(raw, FIELDS)
        assert caught.value.reason == "INVALID_FILTER"


def test_errors_never_repeat_values() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_filter({"size": "secret-value"}, FIELDS)
    assert "secret-value" not in caught.value.message


def parsed(raw: dict[str, object]) -> Filter:
    made = parse_filter(raw, FIELDS)
    assert made is not None
    return made


def test_the_canonical_form_ignores_order_repetition_and_nesting() -> None:
    first = parsed({"label": {"$in": ["a", "b"]}, "size": {"$gt": 1}})
    second = parsed(
        {"$and": [{"size": {"$gt": 1.0}}, {"$and": [{"label": {"$in": ["b", "a", "a"]}}]}, {"size": {"$gt": 1}}]}
    )
    assert first == second
    assert first.fingerprint == second.fingerprint
    assert first != parsed({"label": {"$in": ["a", "b"]}, "size": {"$gte": 1}})
    assert parsed({"label": "1"}) != parsed({"release": "1"})
    assert parsed({"at": "2026-03-01"}) == parsed({"at": "2026-03-01T01:00:00+01:00"})


@given(filters_strategy.raw_filters, filters_strategy.metadata)
def test_a_negation_is_true_exactly_where_the_filter_is_not(
    raw: dict[str, object], metadata: dict[str, MetadataValue]
) -> None:
    assert parsed(raw).matches(metadata) != parsed({"$not": raw}).matches(metadata)


@given(filters_strategy.raw_filters)
def test_equal_filters_have_equal_fingerprints(raw: dict[str, object]) -> None:
    assert parsed(raw) == parsed({"$and": [raw, raw]}) == parsed({"$not": {"$not": raw}})
