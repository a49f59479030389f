"""Access tokens and principals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidRequest
from corpus.access import access_fingerprint, access_token, access_tokens, validate_principal


def test_a_token_is_128_bits_of_hexadecimal_and_stable() -> None:
    assert access_token("acme", "user:bob") == "35297946dfcf4ef4f0078d13b488ed5d"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("acme", "group:eng"), ("globex", "group:eng")),
        (("acme", "group:eng"), ("acme", "group:eng-admins")),
        (("acme", "user:bob@x"), ("acme", "user:Bob@X")),
        (("acme", "user:eng"), ("acme", "group:eng")),
        (("a", "user:b"), ("au", "user:b")),
        (("acme", "user:\u00e9"), ("acme", "user:e\u0301")),
        (("acme", "user:p"), ("acme", "user:\u0440")),
    ],
)
def test_different_principals_never_share_a_token(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert access_token(*first) != access_token(*second)


@pytest.mark.parametrize("principal", ["public", "user:bob@x.com", "group:a b", "user:\U0001f600", "user::"])
def test_a_principal_is_kept_byte_for_byte(principal: str) -> None:
    assert validate_principal(principal) == principal


@pytest.mark.parametrize(
    "principal",
    [
        "",
        "bob",
        "Public",
        "user:",
        "group:",
        "User:bob",
        "role:x",
        "user:a\nb",
        "user:a\x00",
        "group:\u200beng",
        "user:\ud800",
    ],
)
def test_anything_else_is_refused_with_a_reason(principal: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        access_token("acme", principal)
    assert caught.value.reason == "INVALID_PRINCIPAL"


def test_an_over_long_principal_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        validate_principal("user:" + "x" * 508)


def test_nobody_gets_no_tokens() -> None:
    assert access_tokens("acme", []) == frozenset()


@given(st.lists(st.text("ab", min_size=1), max_size=5), st.integers(0, 3))
def test_a_fingerprint_depends_on_what_may_be_read_and_on_nothing_else(tokens: list[str], clearance: int) -> None:
    fingerprint = access_fingerprint(tokens, clearance)
    assert fingerprint == access_fingerprint([*reversed(tokens), *tokens], clearance)
    assert fingerprint != access_fingerprint(tokens, clearance + 1)
    assert fingerprint != access_fingerprint([*tokens, "c"], clearance)
