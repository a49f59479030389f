"""Pseudonyms, what seals them, and the vault over both."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.errors import DocumentRejected, FailedPrecondition
from corpus.adapters.memory.pseudonyms import MemoryPseudonymStore
from corpus.analysis import analyse, analyse_query
from corpus.domain import DocumentKey
from corpus.privacy import vault as vault_module
from corpus.privacy.entities import EntityKind
from corpus.privacy.find import find_entities
from corpus.privacy.pseudonyms import PSEUDONYM, Pseudonyms, kind_of, read_key
from corpus.privacy.redact import redact
from corpus.privacy.sealing import KeyRing
from corpus.privacy.vault import Vault

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
NAMES = Pseudonyms(OLD)
GUIDE = DocumentKey("acme", "guide")
MAIL = NAMES.of("acme", EntityKind.EMAIL, "anna@example.org")


def test_the_same_value_of_a_tenant_has_the_same_pseudonym_however_it_is_written() -> None:
    assert NAMES.of("acme", EntityKind.EMAIL, "Anna@Example.org") == MAIL
    assert NAMES.of("acme", EntityKind.CARD, "4111 1111 1111 1111") == NAMES.of(
        "acme", EntityKind.CARD, "4111-1111-1111-1111"
    )
    secrets = {NAMES.of("acme", EntityKind.SECRET, secret) for secret in ("Abc-123", "abc-123", "Abc123")}
    assert len(secrets) == 3


def test_another_tenant_value_kind_or_key_gives_another_pseudonym() -> None:
    others = {
        NAMES.of("acme-2", EntityKind.EMAIL, "anna@example.org"),
        NAMES.of("acme", EntityKind.EMAIL, "ana@example.org"),
        NAMES.of("acme", EntityKind.SECRET, "anna@example.org"),
        Pseudonyms(NEW).of("acme", EntityKind.EMAIL, "anna@example.org"),
    }
    assert len(others | {MAIL}) == 5


@given(st.sampled_from(EntityKind), st.text(min_size=1))
def test_a_pseudonym_is_one_word_that_is_found_no_second_time(kind: EntityKind, value: str) -> None:
    pseudonym = NAMES.of("acme", kind, value)
    assert PSEUDONYM.fullmatch(pseudonym)
    assert kind_of(pseudonym) == kind.value
    whole = pseudonym.strip("[]").lower()
    assert whole in analyse(f"Ask {pseudonym}, or not.")
    assert whole in analyse_query(whole)
    for around in ("{}", "card number {} today", "password: {}", "call {}4111", "x{}@example.org"):
        text = around.format(pseudonym)
        for entity in find_entities(text):
            start = text.index(pseudonym)
            assert entity.end <= start or entity.start >= start + len(pseudonym)


def test_pseudonyms_take_the_place_of_values_and_say_which() -> None:
    values: dict[str, str] = {}
    made = redact("Ask Anna@example.org or bob@example.org, not anna@example.org.", name=NAMES.naming("acme", values))
    bob = NAMES.of("acme", EntityKind.EMAIL, "bob@example.org")
    assert made.text == f"Ask {MAIL} or {bob}, not {MAIL}."
    assert values == {MAIL: "Anna@example.org", bob: "bob@example.org"}
    assert redact(made.text).text == made.text


def test_a_key_that_is_none_is_refused_without_being_quoted() -> None:
    for text in ("geheim", "c2hvcnQ=", ""):
        with pytest.raises(ValueError, match="openssl rand") as caught:
            read_key(text)
        assert text == "" or text not in str(caught.value)
    with pytest.raises(ValueError, match="needs a key"):
        KeyRing.parse(" \n")


@settings(max_examples=50)
@given(st.binary(), st.lists(st.text(max_size=5), max_size=3))
def test_what_is_sealed_opens_about_the_same_and_nothing_else(plain: bytes, about: list[str]) -> None:
    ring = KeyRing([OLD])
    sealed = ring.seal(plain, *about)
    assert ring.open(sealed, *about) == plain
    assert plain not in sealed.data or len(plain) < 4
    for other in ([*about, ""], [*about, "x"], ["".join(about), "y"]):
        with pytest.raises(FailedPrecondition) as caught:
            ring.open(sealed, *other)
        assert caught.value.reason == "VAULT_RECORD_DAMAGED"


@pytest.mark.parametrize("place", [0, 12, -1])
def test_a_record_that_was_changed_does_not_open(place: int) -> None:
    ring = KeyRing([OLD])
    sealed = ring.seal(b"anna@example.org", "a")
    data = bytearray(sealed.data)
    data[place] ^= 1
    for damaged in (bytes(data), b"", sealed.data[:11]):
        with pytest.raises(FailedPrecondition) as caught:
            ring.open(replace(sealed, data=damaged), "a")
        assert caught.value.reason == "VAULT_RECORD_DAMAGED"


def test_two_records_of_the_same_are_not_alike() -> None:
    ring = KeyRing([OLD])
    assert len({ring.seal(b"anna@example.org", "a").data for _ in range(8)}) == 8


async def test_the_vault_gives_back_what_it_was_told_of_a_version_and_only_what_is_asked_for() -> None:
    vault = Vault(KeyRing([OLD]), MemoryPseudonymStore())
    other = NAMES.of("acme", EntityKind.IP, "10.1.2.3")
    await vault.keep(GUIDE, 5, "one", {MAIL: "anna@example.org", other: "10.1.2.3"})
    assert await vault.values(GUIDE, 5, ["one"], [MAIL]) == {MAIL: "anna@example.org"}
    assert await vault.values(GUIDE, 4, ["one"], [MAIL]) == {}
    assert await vault.values(GUIDE, 5, ["two"], [MAIL]) == {}
    assert await vault.values(DocumentKey("acme", "other"), 5, ["one"], [MAIL]) == {}
    await vault.keep(GUIDE, 5, "one", {})
    assert await vault.uses() == {vault.ring.newest: 0}


async def test_a_record_of_one_document_does_not_open_as_anothers() -> None:
    store = MemoryPseudonymStore()
    vault = Vault(KeyRing([OLD]), store)
    await vault.keep(GUIDE, 5, "one", {MAIL: "anna@example.org"})
    [stolen] = await store.get(GUIDE, 5, ["one"])
    for key, version in ((DocumentKey("evil", "guide"), 5), (DocumentKey("acme", "mine"), 5), (GUIDE, 6)):
        await store.put(replace(stolen, key=key, chunks_version=version))
        with pytest.raises(FailedPrecondition, match="does not open"):
            await vault.values(key, version, ["one"], [MAIL])


async def test_no_store_ever_holds_a_value() -> None:
    store = MemoryPseudonymStore()
    await Vault(KeyRing([OLD]), store).keep(GUIDE, 5, "one", {MAIL: "anna@example.org"})
    [record] = await store.get(GUIDE, 5, ["one"])
    assert b"anna" not in record.sealed.data
    assert MAIL.encode() not in record.sealed.data


async def test_after_a_rotation_the_old_key_is_needed_no_more() -> None:
    store = MemoryPseudonymStore()
    old = Vault(KeyRing([OLD]), store)
    for number in range(5):
        await old.keep(DocumentKey("acme", f"d{number}"), 5, "one", {MAIL: "anna@example.org"})
    both, new = Vault(KeyRing([NEW, OLD]), store), Vault(KeyRing([NEW]), store)
    await both.keep(GUIDE, 5, "one", {MAIL: "anna@example.org"})
    with pytest.raises(FailedPrecondition) as caught:
        await new.values(DocumentKey("acme", "d0"), 5, ["one"], [MAIL])
    assert caught.value.reason == "VAULT_KEY_MISSING"
    steps = [await both.rotate(2) for _ in range(4)]
    assert [step.resealed for step in steps] == [2, 2, 1, 0]
    assert [step.left for step in steps] == [True, True, False, False]
    assert await both.uses() == {new.ring.newest: 6, old.ring.newest: 0}
    for document_id in ("d0", "d4", "guide"):
        assert await new.values(DocumentKey("acme", document_id), 5, ["one"], [MAIL]) == {MAIL: "anna@example.org"}


async def test_a_record_that_does_not_open_keeps_no_other_from_being_sealed_anew() -> None:
    store = MemoryPseudonymStore()
    old, both = Vault(KeyRing([OLD]), store), Vault(KeyRing([NEW, OLD]), store)
    lost = Vault(KeyRing([bytes(32)]), store)
    for number, vault in enumerate((lost, old, old, old)):
        await vault.keep(DocumentKey("acme", f"d{number}"), 5, "one", {MAIL: "anna@example.org"})
    steps = [await both.rotate(2) for _ in range(3)]
    assert [(step.resealed, step.left) for step in steps] == [(1, True), (1, True), (1, True)]
    with pytest.raises(FailedPrecondition) as caught:
        await both.rotate(2)
    assert caught.value.reason == "VAULT_KEY_MISSING"
    assert (await both.uses())[both.ring.newest] == 3


async def test_a_document_with_more_than_the_vault_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MAX_RECORD_BYTES", 40)
    with pytest.raises(DocumentRejected, match="split it"):
        await Vault(KeyRing([OLD]), MemoryPseudonymStore()).keep(GUIDE, 5, "one", {MAIL: "anna@example.org"})
