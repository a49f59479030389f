"""Personal data that stands beside other numbers, in unusual characters or in much text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.privacy.entities import EntityKind
from corpus.privacy.find import find_entities
from corpus.privacy.numbers import is_iban
from corpus.privacy.redact import redact

KEY = "q8Z2kLm4Tn6VbX1c"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB12\n\n"
    "MIIE\n-----END RSA PRIVATE KEY-----"
)


def found(text: str) -> list[tuple[str, str]]:
    return [(entity.kind.value, text[entity.start : entity.end]) for entity in find_entities(text)]


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111 12/27 123",
        "phone 415 555 0132 4111111111111111",
        "4111111111111111,5500000000000004",
        "n-4111111111111111",
        "4111111111111111-1",
        "12/27 4111111111111111 123",
        "1234 4111111111111111",
        "电话里说的是4111111111111111请记下",
        "_4111111111111111_",
    ],
)
def test_a_card_is_found_whatever_numbers_and_letters_stand_beside_it(text: str) -> None:
    assert ("card", "4111111111111111") in found(text)


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005"])
def test_a_divided_card_is_found_in_a_row_of_numbers(number: str) -> None:
    assert ("card", number) in found(f"phone 415 555 0132 {number} 12/27 123")
    assert ("card", number) in found(f"2.{number}.5 and more")


@pytest.mark.parametrize(
    "text",
    [
        "4111\u00a01111\u20111111\u20131111",
        "４１１１１１１１１１１１１１１１",
        "4111\u202f1111\u22121111\u20101111",
        "41111\u200b11111111111",
    ],
)
def test_blanks_hyphens_and_digits_of_other_kinds_hide_no_card(text: str) -> None:
    assert found(f"x {text} y") == [("card", text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Tel. +49\u00a030\u2011901820", "phone", "+49\u00a030\u2011901820"),
        ("SSN 078\u201305\u20131120", "ssn", "078\u201305\u20131120"),
        ("请写anna@example.org联系我们", "email", "anna@example.org"),
        ("anna＠example.org", "email", "anna＠example.org"),
        ("anna@exam\u00adple.org", "email", "anna@exam\u00adple.org"),
        ("Ask _anna@example.org_ or", "email", "_anna@example.org"),
        ("*anna@example.org*", "email", "*anna@example.org"),
        ("地址192.0.2.17在", "ip", "192.0.2.17"),
        ("号码078-05-1120。", "ssn", "078-05-1120"),
        ("帐号GB82WEST12345698765432。", "iban", "GB82WEST12345698765432"),
        ("电话：4515986", "phone", "4515986"),
        ("phone=4515986&x=1", "phone", "4515986"),
        ('"phone_number": "4515986"', "phone", "4515986"),
        ("owner_phone: 4515986", "phone", "4515986"),
        ("05.06.2026 415 555 0132", "phone", "415 555 0132"),
        (f"password: {KEY * 30}", "secret", KEY * 30),
        ("password: Xk9(mP2)vQ7z", "secret", "Xk9(mP2)vQ7z"),
        (f"(the password is {KEY})", "secret", KEY),
        (f"Authorization: Bearer {KEY}", "secret", KEY),
        (f'"Authorization": "Bearer {KEY}"', "secret", KEY),
        (PEM, "secret", PEM),
        (f"sk-{'a1' * 300}", "secret", f"sk-{'a1' * 300}"),
    ],
)
def test_unusual_ways_of_writing_are_known(text: str, kind: str, value: str) -> None:
    assert found(text) == [(kind, value)]


def test_a_key_of_pgp_is_a_secret_whole() -> None:
    block = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 2-1\n\nlQOYBF\n=ab\n-----END PGP PRIVATE KEY BLOCK-----"

    assert found(f"x\n{block}\ny") == [("secret", block)]


@pytest.mark.parametrize(
    "text",
    [
        "We met (at) noon. Then left.",
        "We met (at) 3.15 in the yard",
        "3.1.2.4 Installing the pump",
        "## 4.2.1.1 Pumps",
        "from version 2.4.1.1 to 2.4.1.2",
        "see § 3.1.2.4",
        "The meeting of 05.06.2026 1400 was moved",
        "0.4111111111111111 and 12.4111111111111111",
        "padded 0012345678 and 0123 0456 0789",
        "call 1000000 times, contact 1 500 000 customers, they reached 1250000 readers",
        "EAN 4006381333931 and 4000000000006",
        "password = getpass(prompt1) and token: required",
        "secret_key = os.environ[SECRET_1]",
    ],
)
def test_numbers_of_other_things_are_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "table",
    [
        "name,phone,city\nAnna,4515986,Berlin\nBo,4515987,Bonn\n",
        "| name | Phone number | n |\n| --- | --- | --- |\n| Anna | 4515986 | 4511111 |\n| Bo | 4515987 | 1 |",
        "name\tphone\nAnna\t4515986\nBo\t4515987",
        '"name";"phone"\n"Anna";"4515986"\n"Bo";"4515987"',
    ],
)
def test_a_column_says_what_its_cells_are(table: str) -> None:
    assert found(f"Of the club:\n\n{table}\nThe end, of 4515988") == [("phone", "4515986"), ("phone", "4515987")]


def test_columns_of_cards_and_social_security_numbers_are_told_apart() -> None:
    assert found("card,ssn\n501800000009,078051120") == [("card", "501800000009"), ("ssn", "078051120")]


def test_a_sentence_about_telephones_is_no_line_of_names() -> None:
    assert found("Call me on the phone, or come by.\nOrder 4515986, now") == []


def test_an_address_at_the_start_of_a_line_is_no_section() -> None:
    assert found("192.0.2.17 Gateway\n10.0.0.5 Printer") == [("ip", "192.0.2.17"), ("ip", "10.0.0.5")]


def test_an_account_number_is_found_behind_another() -> None:
    one, other = "GB82 WEST 1234 5698 7654 32", "NO93 8601 1117 947"

    assert found(f"{other} {one}") == [("iban", other), ("iban", one)]


@pytest.mark.parametrize(
    "text", ["DE\u013089370400440532013000", "\u212aZ86125KZT5004100100", "GB82WEST1234569876543\u0661"]
)
def test_letters_that_only_fold_to_ascii_stop_nothing(text: str) -> None:
    assert isinstance(is_iban(text), bool)
    assert redact(f"IBAN {text}").text


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80), st.sampled_from(["", "phone 4515986", "GB82WEST12345698765432", "a@b.example", "[CARD]"]))
def test_any_text_is_redacted_without_failing_and_a_second_time_changes_nothing(text: str, piece: str) -> None:
    once = redact(text + piece + text)

    assert redact(once.text).text == once.text


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            ["phone", "card", "ssn", "4515986", "078051120", "4111111111111111", "[CARD]", ",", "a@b.example", "12"]
        ),
        max_size=20,
    )
)
def test_what_placeholders_bring_to_light_is_gone_at_once(words: list[str]) -> None:
    once = redact(" ".join(words))

    assert redact(once.text).text == once.text
    assert all(0 <= entity.start < entity.end <= len(" ".join(words)) for entity in once.entities)


@pytest.mark.parametrize(
    "unit", ["a@b.example ", "sk-", "eyJ-", "4111 ", "a(b.c", "x@a.", "+1-2", "://a:b", "password: a(b.", "phone 12 "]
)
def test_time_grows_with_the_length_and_no_faster(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = unit * (characters // len(unit))
        started = time.process_time()
        find_entities(text)
        return time.process_time() - started

    short = min(seconds(5_000) for _ in range(2))
    assert seconds(40_000) < 8 * 4 * max(short, 0.005)


def test_only_the_kinds_asked_for_are_redacted() -> None:
    assert redact("a@b.example 4111111111111111", {EntityKind.CARD}).text == "a@b.example [CARD]"
