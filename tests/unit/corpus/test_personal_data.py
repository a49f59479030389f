"""Recognising personal data in text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.privacy.entities import EntityKind
from corpus.privacy.find import find_entities


def found(text: str) -> list[tuple[str, str]]:
    return [(entity.kind.value, text[entity.start : entity.end]) for entity in find_entities(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Write to Anna.Berg+x@mail.example.org.", "email", "Anna.Berg+x@mail.example.org"),
        ("Write to jürgen@bücher.example now", "email", "jürgen@bücher.example"),
        ("anna [at] example [dot] org", "email", "anna [at] example [dot] org"),
        ("My card 4111 1111 1111 1111 is lost", "card", "4111 1111 1111 1111"),
        ("Amex 3782-822463-10005.", "card", "3782-822463-10005"),
        ("IBAN: DE89 3704 0044 0532 0130 00 at the bank", "iban", "DE89 3704 0044 0532 0130 00"),
        ("gb82west12345698765432", "iban", "gb82west12345698765432"),
        ("SSN 078-05-1120", "ssn", "078-05-1120"),
        ("his social security number: 078 05 1120", "ssn", "078 05 1120"),
        ("from 192.0.2.17, twice", "ip", "192.0.2.17"),
        ("host 2001:db8::8a2e:370:7334 is", "ip", "2001:db8::8a2e:370:7334"),
        ("Call +49 (0)30 901820-0", "phone", "+49 (0)30 901820-0"),
        ("ring (212) 555-0123 x12", "phone", "(212) 555-0123 x12"),
        ("Phone:\n451 5986", "phone", "451 5986"),
        ("Office: 020 7946 0018", "phone", "020 7946 0018"),
        ("postgres://app:s3cret-Pw@db/x", "secret", "app:s3cret-Pw"),
        ("api_key = 'q8Z2kLm4Tn6VbX1c'", "secret", "q8Z2kLm4Tn6VbX1c"),
        ("AKIAIOSFODNN7EXAMPLE", "secret", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_personal_data_is_found_to_the_letter(text: str, kind: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "Firmware version 3.1.2.4 was released on 2026-02-14 at 12:30:45.",
        "The mask is 255.255.255.0 and the loopback 127.0.0.1 or ::1.",
        "Order 4111 1111 1111 1112 has the wrong check digit.",
        "IBAN DE89370400440532013001 is mistyped.",
        "ISBN 978-3-16-148410-0, error 0x1F4A, 1,048,576 bytes, pages 1998-2003",
        "std::vector<int>::iterator a::b, ratio 16:9:4",
        "The decorator @app.route and the handle @anna",
        "password = os.environ['SECRET_NAME'] and token: required",
        "Area 666-12-3456 and 000-12-3456 were never given out.",
        "Call me on 14.02.2026 or 2026-02-14.",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_each_piece_of_text_is_of_one_kind_at_most() -> None:
    text = "Phone +1 212 555 0123, card 4111111111111111, IBAN GB82WEST12345698765432, mail a@b.example"

    entities = find_entities(text)

    assert [entity.kind for entity in entities] == [
        EntityKind.PHONE,
        EntityKind.CARD,
        EntityKind.IBAN,
        EntityKind.EMAIL,
    ]
    assert all(one.end <= other.start for one, other in itertools.pairwise(entities))


@given(st.text(alphabet="0123456789+-() .:@aAsk/=\n_", max_size=300))
def test_any_text_is_read_without_failing_and_spans_lie_inside_it(text: str) -> None:
    entities = find_entities(text)

    assert all(0 <= entity.start < entity.end <= len(text) for entity in entities)
    assert all(one.end <= other.start for one, other in itertools.pairwise(entities))


def test_only_the_kinds_asked_for_are_found() -> None:
    assert find_entities("a@b.example from 192.0.2.17", {EntityKind.IP})[0].kind is EntityKind.IP
    assert len(find_entities("a@b.example from 192.0.2.17", {EntityKind.IP})) == 1
