"""Metadata: validation, types, storage form."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from tests.contract import filters_strategy

from chassis.errors import FailedPrecondition, InvalidRequest
from corpus.domain import FieldType
from corpus.metadata import (
    metadata_from_json,
    metadata_to_json,
    row_metadata,
    validate_declaration,
    validate_metadata,
)

FIELDS = filters_strategy.FIELDS


def test_declared_fields_get_their_type() -> None:
    raw = {
        "size": 3,
        "at": "2026-03-01",
        "release": "2.1",
        "tags": ["a"],
        "codes": [1, 2.5],
        "draft": True,
        "label": "x",
    }
    assert validate_metadata(raw, FIELDS) == {
        "size": 3.0,
        "at": datetime(2026, 3, 1, tzinfo=UTC),
        "release": "2.1",
        "tags": ("a",),
        "codes": (1.0, 2.5),
        "draft": True,
        "label": "x",
    }


def test_undeclared_fields_are_kept_as_they_are() -> None:
    raw = {"note": "x", "n": 1, "flag": False, "when": date(2026, 1, 2), "list": ["a"], "empty": [], "none": None}
    kept = validate_metadata(raw, {})
    assert kept == {
        "note": "x",
        "n": 1.0,
        "flag": False,
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "list": ("a",),
        "empty": (),
    }
    assert kept["flag"] is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "3"),
        ("size", True),
        ("size", float("nan")),
        ("size", float("inf")),
        ("label", 3),
        ("draft", 0),
        ("at", "2026"),
        ("at", 1700000000),
        ("release", 2.1),
        ("release", " "),
        ("tags", "a"),
        ("tags", ["a", 1]),
        ("codes", [True]),
        ("language", 3),
    ],
)
def test_a_declared_field_with_another_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate_metadata({name: value}, FIELDS)
    assert caught.value.reason == "METADATA_TYPE_MISMATCH"
    assert caught.value.metadata["field"] == name


@pytest.mark.parametrize(
    "raw",
    [
        {"x": {"nested": 1}},
        {"x": ["a", 1]},
        {"x": float("nan")},
        {"x": [float("inf")]},
        {"x": "\ud800"},
        {"": 1},
        {"a\nb": 1},
        {"$x": 1},
        {"k" * 129: 1},
        {"x": "y" * 4_097},
        {"x": ["y"] * 257},
        {f"k{each}": 1 for each in range(65)},
        {f"k{each}": "y" * 4_000 for each in range(5)},
    ],
)
def test_what_stores_can_not_hold_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate_metadata(raw, {})
    assert caught.value.reason == "INVALID_METADATA"


@pytest.mark.parametrize("name", ["document_id", "updated_at"])
def test_fields_that_the_service_fills_are_reserved(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate_metadata({name: "2026-01-01"}, {})
    assert caught.value.reason == "RESERVED_METADATA_KEY"


@given(filters_strategy.metadata)
def test_storage_gives_back_the_same_values_and_types(metadata: dict[str, object]) -> None:
    restored = metadata_from_json(metadata_to_json(metadata))  # type: ignore[arg-type]
    assert restored == metadata
    assert {name: type(value) for name, value in restored.items()} == {
        name: type(value) for name, value in metadata.items()
    }


def test_equal_metadata_has_equal_storage_form() -> None:
    assert metadata_to_json({"a": 1.0, "b": "x"}) == metadata_to_json({"b": "x", "a": 1.0})


def test_rows_carry_the_built_in_fields_and_empty_ones_are_missing() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = row_metadata({"language": "python", "title": "own"}, document_id="d", updated_at=at, title="real")
    assert row == {"language": "python", "title": "real", "document_id": "d", "updated_at": at}


def test_a_declaration_must_be_a_name_and_respect_built_in_types() -> None:
    assert validate_declaration({"year": FieldType.NUMBER, "title": FieldType.STRING})
    for name in ("", "1a", "$x", "a b", "x" * 65, "é"):
        with pytest.raises(InvalidRequest):
            validate_declaration({name: FieldType.STRING})
    with pytest.raises(FailedPrecondition) as caught:
        validate_declaration({"title": FieldType.NUMBER})
    assert caught.value.reason == "FIELD_TYPE_CONFLICT"
