"""Ids of chunks, documents, tenants and generations."""

from __future__ import annotations

import uuid

import pytest

from chassis.errors import FailedPrecondition, InvalidRequest
from corpus.generations import describe_generation, validate_generation_name
from corpus.ids import (
    chunk_id,
    length_prefixed,
    name_of_tenant,
    tenant_id_after,
    validate_document_id,
    validate_tenant_id,
    validate_tenant_name,
)


def test_a_chunk_id_never_changes() -> None:
    made = chunk_id("acme", "d1", 7, 0, "g1")
    assert made == "9e8d43eb-a473-54cf-9e77-e8238a096670"
    assert uuid.UUID(made).version == 5


def test_every_part_of_a_chunk_id_counts() -> None:
    ids = {
        chunk_id(*parts)
        for parts in (
            ("acme", "d1", 7, 0, "g1"),
            ("acme2", "d1", 7, 0, "g1"),
            ("acme", "d", 17, 0, "g1"),
            ("acme", "d1", 70, 0, "g1"),
            ("acme", "d1", 7, 1, "g1"),
            ("acme", "d1", 7, 0, "g2"),
            ("acme", "d17", 0, 0, "g1"),
        )
    }
    assert len(ids) == 7


def test_parts_can_not_run_into_each_other() -> None:
    assert length_prefixed(("ab", "c")) != length_prefixed(("a", "bc"))
    assert length_prefixed(("a", "")) != length_prefixed(("a",))


@pytest.mark.parametrize("tenant_id", ["a", "0", "acme-2", "a" * 64])
def test_tenant_ids_are_lower_case_names(tenant_id: str) -> None:
    assert validate_tenant_id(tenant_id) == tenant_id
    assert validate_tenant_name(tenant_id) == tenant_id


@pytest.mark.parametrize(
    "tenant_id", ["", "-a", "A", "a_b", "a/b", "..", "a" * 65, "é", "a\n", "a_", "a_0", "_1", "a_1_1"]
)
def test_other_tenant_ids_are_refused(tenant_id: str) -> None:
    for validate in (validate_tenant_id, validate_tenant_name):
        with pytest.raises(InvalidRequest) as caught:
            validate(tenant_id)
        assert caught.value.reason == "INVALID_TENANT_ID"


def test_later_tenants_of_a_name_have_numbers_that_no_name_has() -> None:
    ids = ["acme-1"]
    for _ in range(11):
        ids.append(validate_tenant_id(tenant_id_after(ids[-1])))
    assert ids[1:] == [f"acme-1_{n}" for n in range(1, 12)]
    assert {name_of_tenant(each) for each in ids} == {"acme-1"}
    for each in ids[1:]:
        with pytest.raises(InvalidRequest):
            validate_tenant_name(each)


def test_a_name_without_room_for_a_number_is_used_once() -> None:
    assert validate_tenant_id(tenant_id_after("a" * 62)) == "a" * 62 + "_1"
    for spent in ("a" * 63, "a" * 62 + "_9"):
        with pytest.raises(FailedPrecondition) as caught:
            tenant_id_after(spent)
        assert caught.value.reason == "TENANT_NAME_SPENT"
    with pytest.raises(InvalidRequest):
        validate_tenant_id("a" * 63 + "_1")


@pytest.mark.parametrize("document_id", ["a", "docs/a b.md", "é" * 256, "https://x/y?z=1#t"])
def test_document_ids_are_kept_as_they_are(document_id: str) -> None:
    assert validate_document_id(document_id) == document_id


@pytest.mark.parametrize("document_id", ["", "a\nb", "a\tb", "\x00", "é" * 257, "\ud800", "a\u2028b"])
def test_document_ids_that_no_store_can_hold_are_refused(document_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate_document_id(document_id)
    assert caught.value.reason == "INVALID_DOCUMENT_ID"


def test_a_generation_is_named_by_its_settings() -> None:
    def name(**changes: str | int) -> str:
        settings = {"model_id": "m", "model_revision": "r", "dimensions": 384, "chunker": "c", "analyser": "a"}
        return describe_generation(**(settings | changes)).name  # type: ignore[arg-type]

    assert name() == name()
    others = [
        name(**change) for change in ({"model_id": "n"}, {"dimensions": 385}, {"chunker": "d"}, {"analyser": "b"})
    ]
    assert len({name(), *others}) == 5
    assert validate_generation_name(name()) == name()


@pytest.mark.parametrize("name", ["", "G", "1g", "g-1", "../g", "g" * 65])
def test_a_generation_name_is_safe_everywhere(name: str) -> None:
    with pytest.raises(InvalidRequest):
        validate_generation_name(name)
