"""Contract of the store of dead letters, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW

from corpus.adapters.elasticsearch.dead_letters import ElasticsearchDeadLetterStore
from corpus.adapters.memory.dead_letters import MemoryDeadLetterStore
from corpus.adapters.sqlite.dead_letters import SqliteDeadLetterStore
from corpus.dead_letters import DeadLetterStore, Letter, LetterFilter, LetterState
from corpus.domain import ChangeKind, ChangeState

ADAPTERS = (
    MemoryDeadLetterStore,
    SqliteDeadLetterStore,
    pytest.param(ElasticsearchDeadLetterStore, marks=pytest.mark.cluster),
)
ANY = LetterFilter()


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], DeadLetterStore]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def store(open_store: Callable[[], DeadLetterStore]) -> DeadLetterStore:
    return open_store()


def letter(letter_id: str = "letter-1", **changes: Any) -> Letter:
    """An open letter of a change, with a value in every field that an open one has."""
    full = Letter(
        letter_id=letter_id,
        state=LetterState.OPEN,
        tenant_id="acme",
        document_id="handbuch/é 標題.pdf",
        version=2**63 - 1,
        kind=ChangeKind.UPSERT,
        topic="headwater.document-changes.v1",
        partition=11,
        offset=2**40,
        first_reason="EMBEDDER_DOWN",
        first_failed_at=NOW - timedelta(minutes=1),
        reason="ENCRYPTED",
        message="The document is encrypted; put it without a password.",
        last_failed_at=NOW,
        attempts=3,
        trace_id="a" * 32,
        object_key="documents/acme/ab/abc",
        event_key="dead-letters/acme/letter-1",
        event_bytes=321,
        content_key="b" * 64,
        registered=True,
    )
    return replace(full, **changes)


def poison(letter_id: str = "poison-1", **changes: Any) -> Letter:
    """An open letter of a record that is no change."""
    known = {"tenant_id": "", "document_id": "", "version": 0, "kind": None, "object_key": "", "content_key": ""}
    return letter(letter_id, **{**known, "reason": "MALFORMED_EVENT", **changes})


async def ids(store: DeadLetterStore, which: LetterFilter = ANY, **options: Any) -> list[str]:
    return [found.letter_id for found in await store.list(which, **options)]


async def test_a_letter_comes_back_as_it_was(store: DeadLetterStore) -> None:
    decided = letter(
        "letter-2",
        state=LetterState.REPLAYED,
        replays=2,
        decided_by="ann",
        decided_at=NOW + timedelta(seconds=1, microseconds=1),
        why="because",
        outcome=ChangeState.APPLIED,
    )
    for sent in (letter(), poison(), decided):
        assert await store.put(sent, expected=None)
        assert await store.get(sent.letter_id) == sent
    assert await store.get("unknown") is None


async def test_a_letter_is_written_over_the_one_it_was_made_from_only(store: DeadLetterStore) -> None:
    first, second = letter(), letter(attempts=4)
    assert not await store.put(second, expected=first)
    assert await store.put(first, expected=None)
    assert not await store.put(first, expected=None)
    assert not await store.put(second, expected=None)
    assert await store.put(second, expected=first)
    assert not await store.put(letter(attempts=5), expected=first)
    assert await store.get("letter-1") == second


async def test_of_many_who_decide_at_once_one_does(open_store: Callable[[], DeadLetterStore]) -> None:
    stores = [open_store() for _ in range(3)]
    first = letter()
    assert await stores[0].put(first, expected=None)
    written = await asyncio.gather(
        *(stores[n % 3].put(letter(decided_by=f"operator-{n}"), expected=first) for n in range(12))
    )
    assert sum(written) == 1


async def test_letters_are_listed_from_the_newest_failure_on_page_by_page(store: DeadLetterStore) -> None:
    for number in range(7):
        # Three moments, so that pages end between letters of one moment.
        await store.put(letter(f"letter-{number}", last_failed_at=NOW + timedelta(seconds=number // 3)), expected=None)
    expected = ["letter-6", "letter-3", "letter-4", "letter-5", "letter-0", "letter-1", "letter-2"]
    assert await ids(store) == expected
    found: list[str] = []
    after = None
    while page := await store.list(ANY, after=after, limit=2):
        found += [item.letter_id for item in page]
        after = (page[-1].last_failed_at, page[-1].letter_id)
    assert found == expected
    assert await ids(store, limit=0) == []


async def test_letters_are_filtered_by_every_part_that_is_set(store: DeadLetterStore) -> None:
    await store.put(letter("a", document_id="a_b%/x"), expected=None)
    await store.put(letter("b", document_id="A_b%/y", reason="EMPTY"), expected=None)
    await store.put(letter("c", document_id="aXb/z", tenant_id="other"), expected=None)
    await store.put(letter("d", document_id="a_b%/x", state=LetterState.DISCARDED, decided_at=NOW), expected=None)
    await store.put(poison("p"), expected=None)
    wanted = {
        LetterFilter(): ["a", "b", "c", "d", "p"],
        LetterFilter(tenant_id="acme"): ["a", "b", "d"],
        LetterFilter(reason="EMPTY"): ["b"],
        LetterFilter(reason="MALFORMED_EVENT"): ["p"],
        LetterFilter(document_prefix="a_b%/"): ["a", "d"],
        LetterFilter(document_prefix="a"): ["a", "c", "d"],
        LetterFilter(state=LetterState.OPEN): ["a", "b", "c", "p"],
        LetterFilter("acme", "ENCRYPTED", "a_", LetterState.OPEN): ["a"],
        LetterFilter(tenant_id="nobody"): [],
    }
    for which, expected in wanted.items():
        assert await ids(store, which) == expected, which
        assert await store.count(which) == len(expected), which


async def test_letters_decided_long_ago_come_oldest_first_and_open_ones_never(store: DeadLetterStore) -> None:
    for number, state in enumerate(
        (LetterState.DISCARDED, LetterState.REPLAYED, LetterState.REPLAYING, LetterState.OPEN, LetterState.DISCARDED)
    ):
        at = NOW - timedelta(days=number)
        await store.put(letter(f"letter-{number}", state=state, decided_at=at), expected=None)
    found = await store.decided_before(NOW, 10)
    assert [item.letter_id for item in found] == ["letter-4", "letter-1"]
    assert [item.letter_id for item in await store.decided_before(NOW, 1)] == ["letter-4"]


async def test_deleted_letters_are_gone_and_deleting_is_idempotent(store: DeadLetterStore) -> None:
    await store.put(letter(), expected=None)
    for _ in range(2):
        await store.delete("letter-1")
    assert await store.get("letter-1") is None
    assert await store.put(letter(), expected=None)


async def test_dropping_a_tenant_leaves_the_letters_of_others(store: DeadLetterStore) -> None:
    await store.put(letter("ours"), expected=None)
    await store.put(letter("theirs", tenant_id="other"), expected=None)
    await store.put(poison(), expected=None)
    for _ in range(2):
        await store.drop_tenant("acme")
    assert await ids(store) == ["poison-1", "theirs"]
