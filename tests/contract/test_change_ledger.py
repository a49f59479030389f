"""Contract of the change ledger, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW, change, key

from chassis.errors import Conflict, Defect
from corpus.adapters.elasticsearch.change_ledger import ElasticsearchChangeLedger
from corpus.adapters.memory.change_ledger import MemoryChangeLedger
from corpus.adapters.sqlite.change_ledger import SqliteChangeLedger
from corpus.domain import ChangeKind, ChangeState
from corpus.ports import ChangeLedger

ADAPTERS = (
    MemoryChangeLedger,
    SqliteChangeLedger,
    pytest.param(ElasticsearchChangeLedger, marks=pytest.mark.cluster),
)
LATER = NOW + timedelta(hours=1)
TERMINAL = [state for state in ChangeState if state is not ChangeState.PENDING]


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], ChangeLedger]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def ledger(open_ledger: Callable[[], ChangeLedger]) -> ChangeLedger:
    return open_ledger()


async def test_an_accepted_change_comes_back_as_it_was(ledger: ChangeLedger) -> None:
    record = change(kind=ChangeKind.SET_ACCESS)
    assert await ledger.accept(record) == record
    assert await ledger.get_many("acme", ["event-1", "unknown"]) == {"event-1": record}
    assert await ledger.get_many("acme", []) == {}


async def test_accepting_twice_leaves_one_record_and_returns_the_first(ledger: ChangeLedger) -> None:
    first = await ledger.accept(change())
    assert await ledger.accept(change(accepted_at=LATER)) == first
    assert await ledger.accept(change("another-event", accepted_at=LATER)) == first
    assert await ledger.counts("acme") == {ChangeState.PENDING: 1}
    assert await ledger.get_many("acme", ["another-event"]) == {}


async def test_an_earlier_record_comes_with_what_became_of_it(ledger: ChangeLedger) -> None:
    await ledger.accept(change())
    await ledger.finish("event-1", ChangeState.APPLIED, at=LATER)
    assert (await ledger.accept(change("another-event"))).state is ChangeState.APPLIED


async def test_the_same_version_with_other_content_is_a_conflict(ledger: ChangeLedger) -> None:
    first = await ledger.accept(change())
    for event_id in ("event-1", "another-event"):
        with pytest.raises(Conflict) as caught:
            await ledger.accept(change(event_id, fingerprint="other"))
        assert caught.value.reason == "VERSION_CONFLICT"
    assert await ledger.get_many("acme", ["event-1", "another-event"]) == {"event-1": first}


async def test_an_event_id_names_one_change_only(ledger: ChangeLedger) -> None:
    await ledger.accept(change())
    for other in (change(version=2), change(document_id="other"), change(tenant_id="other")):
        with pytest.raises(Conflict) as caught:
            await ledger.accept(other)
        assert caught.value.reason == "EVENT_ID_CONFLICT"


async def test_concurrent_accepts_of_one_version_agree_on_one_record(open_ledger: Callable[[], ChangeLedger]) -> None:
    ledgers = [open_ledger() for _ in range(3)]
    records = await asyncio.gather(*(ledgers[i % 3].accept(change(f"event-{i}")) for i in range(30)))
    assert len({record.event_id for record in records}) == 1
    assert await ledgers[0].counts("acme") == {ChangeState.PENDING: 1}


@pytest.mark.parametrize("state", TERMINAL)
async def test_a_terminal_state_is_final(ledger: ChangeLedger, state: ChangeState) -> None:
    await ledger.accept(change())
    await ledger.finish("event-1", state, at=LATER, reason="WHY", message="because", attempts=3)
    expected = replace(change(), state=state, finished_at=LATER, reason="WHY", message="because", attempts=3)
    for other in TERMINAL:
        await ledger.finish("event-1", other, at=NOW, reason="OTHER")
        await ledger.note_failure("event-1", reason="LATE", message="late", attempts=9)
        assert await ledger.get_many("acme", ["event-1"]) == {"event-1": expected}


async def test_unknown_ids_are_ignored(ledger: ChangeLedger) -> None:
    await ledger.finish("unknown", ChangeState.APPLIED, at=LATER)
    await ledger.note_failure("unknown", reason="WHY", message="", attempts=1)
    assert await ledger.counts("acme") == {}


async def test_pending_is_no_way_to_finish(ledger: ChangeLedger) -> None:
    await ledger.accept(change())
    with pytest.raises(Defect):
        await ledger.finish("event-1", ChangeState.PENDING, at=LATER)


async def test_a_failure_of_a_pending_change_is_noted_and_its_attempts_are_kept(ledger: ChangeLedger) -> None:
    await ledger.accept(change())
    await ledger.note_failure("event-1", reason="EMBEDDER_DOWN", message="wait", attempts=4)
    found = (await ledger.get_many("acme", ["event-1"]))["event-1"]
    assert (found.state, found.reason, found.message, found.attempts) == (
        ChangeState.PENDING,
        "EMBEDDER_DOWN",
        "wait",
        4,
    )
    assert found.finished_at is None
    await ledger.finish("event-1", ChangeState.APPLIED, at=LATER)
    found = (await ledger.get_many("acme", ["event-1"]))["event-1"]
    assert (found.state, found.reason, found.message, found.attempts) == (ChangeState.APPLIED, "", "", 4)


async def test_a_change_is_found_by_its_version(ledger: ChangeLedger) -> None:
    for version in (1, 2**63 - 1):
        await ledger.accept(replace(change(f"event-{version}"), version=version))
    await ledger.finish("event-1", ChangeState.APPLIED, at=LATER)
    found = await ledger.find(key(), 1)
    assert found is not None
    assert (found.event_id, found.state) == ("event-1", ChangeState.APPLIED)
    assert await ledger.find(key(), 2**63 - 1) == replace(change(f"event-{2**63 - 1}"), version=2**63 - 1)
    assert await ledger.find(key(), 2) is None
    assert await ledger.find(key("other"), 1) is None
    assert await ledger.find(key(tenant_id="other"), 1) is None


async def test_newest_changes_of_a_document_come_by_version(ledger: ChangeLedger) -> None:
    for version in (9, 2, 10, 1):
        await ledger.accept(change(f"event-{version}", version, accepted_at=NOW))
    await ledger.accept(change("other", 99, "other"))
    assert [record.version for record in await ledger.newest(key())] == [10, 9, 2, 1]
    assert [record.version for record in await ledger.newest(key(), 2)] == [10, 9]
    assert list(await ledger.newest(key("nothing"))) == []


async def test_latest_versions_are_the_greatest_accepted(ledger: ChangeLedger) -> None:
    for version in (9, 10, 2):
        await ledger.accept(change(f"event-{version}", version))
    await ledger.finish("event-10", ChangeState.DEAD_LETTERED, at=LATER)
    await ledger.accept(change("b", 3, "b"))
    assert await ledger.latest_versions("acme", ["doc", "b", "c"]) == {"doc": 10, "b": 3}
    assert await ledger.latest_versions("acme", []) == {}


async def test_oldest_pending_changes_come_first(ledger: ChangeLedger) -> None:
    for number in (3, 1, 2, 4):
        await ledger.accept(change(f"event-{number}", number))
    await ledger.finish("event-2", ChangeState.APPLIED, at=LATER)
    assert [record.event_id for record in await ledger.oldest_pending("acme", 10)] == ["event-1", "event-3", "event-4"]
    assert [record.event_id for record in await ledger.oldest_pending("acme", 1)] == ["event-1"]


async def test_any_number_of_pending_changes_is_listed_page_by_page(ledger: ChangeLedger) -> None:
    for number in range(7):
        # Three moments, so that pages end between changes of one moment.
        await ledger.accept(change(f"event-{number}", number + 1, accepted_at=NOW + timedelta(seconds=number // 3)))
    found: list[str] = []
    after = None
    while page := await ledger.oldest_pending("acme", 2, after=after):
        found += [record.event_id for record in page]
        after = (page[-1].accepted_at, page[-1].event_id)
    assert found == [f"event-{number}" for number in range(7)]


async def test_a_dead_letter_opens_again_once_per_replay_and_keeps_its_history(ledger: ChangeLedger) -> None:
    await ledger.accept(change())
    await ledger.finish("event-1", ChangeState.DEAD_LETTERED, at=LATER, reason="WHY", message="because", attempts=3)
    opened_again = replace(change(), reason="WHY", message="Tried again. Before: because", attempts=3, replays=1)
    for _ in range(2):
        assert await ledger.reopen("event-1", replay=1) == opened_again
    assert await ledger.find(key(), 1) == opened_again
    await ledger.finish("event-1", ChangeState.DEAD_LETTERED, at=LATER, reason="AGAIN", message="", attempts=4)
    late = await ledger.reopen("event-1", replay=1)
    assert late is not None
    assert (late.state, late.reason, late.attempts) == (ChangeState.DEAD_LETTERED, "AGAIN", 4)
    again = await ledger.reopen("event-1", replay=2)
    assert again is not None
    assert (again.state, again.replays) == (ChangeState.PENDING, 2)
    await ledger.finish("event-1", ChangeState.APPLIED, at=LATER)
    assert (await ledger.get_many("acme", ["event-1"]))["event-1"].state is ChangeState.APPLIED


@pytest.mark.parametrize("state", [state for state in ChangeState if state is not ChangeState.DEAD_LETTERED])
async def test_nothing_but_a_dead_letter_opens_again_or_is_discarded(ledger: ChangeLedger, state: ChangeState) -> None:
    await ledger.accept(change())
    if state is not ChangeState.PENDING:
        await ledger.finish("event-1", state, at=LATER)
    before = await ledger.find(key(), 1)
    assert await ledger.reopen("event-1", replay=1) == before
    assert await ledger.discard("event-1", at=LATER, message="no") == before
    assert await ledger.find(key(), 1) == before
    assert await ledger.reopen("unknown", replay=1) is None
    assert await ledger.discard("unknown", at=LATER, message="no") is None


async def test_a_discarded_change_keeps_its_reason_and_stays_discarded(ledger: ChangeLedger) -> None:
    await ledger.accept(change())
    await ledger.finish("event-1", ChangeState.DEAD_LETTERED, at=NOW, reason="WHY", message="because", attempts=3)
    dead = await ledger.find(key(), 1)
    assert dead is not None
    expected = replace(dead, state=ChangeState.DISCARDED, finished_at=LATER, message="ann: scanned upside down")
    for _ in range(2):
        assert await ledger.discard("event-1", at=LATER, message="ann: scanned upside down") == expected
    assert await ledger.reopen("event-1", replay=1) == expected
    assert await ledger.counts("acme") == {ChangeState.DISCARDED: 1}
    assert list(await ledger.newest_dead_letters("acme", 9)) == []


async def test_changes_that_ended_long_ago_are_removed_but_for_the_newest_and_dead_letters(
    ledger: ChangeLedger,
) -> None:
    ends = {
        "applied": ChangeState.APPLIED,
        "superseded": ChangeState.SUPERSEDED,
        "discarded": ChangeState.DISCARDED,
        "dead": ChangeState.DEAD_LETTERED,
        "pending": None,
        "recent": ChangeState.APPLIED,
        "newest": ChangeState.APPLIED,
    }
    for version, (name, state) in enumerate(ends.items(), start=1):
        await ledger.accept(change(name, version))
        if state is not None:
            await ledger.finish(name, state, at=LATER if name == "recent" else NOW - timedelta(seconds=version))
    await ledger.accept(change("theirs", 1, tenant_id="other"))
    await ledger.accept(change("theirs-2", 2, tenant_id="other"))
    await ledger.finish("theirs", ChangeState.APPLIED, at=NOW - timedelta(days=1))
    removed, after = 0, None
    for _ in range(10):
        aged = await ledger.age_out("acme", NOW, after=after, limit=2)
        removed, after = removed + aged.removed, aged.after
        if after is None:
            break
    assert (removed, after) == (3, None)
    assert (await ledger.age_out("acme", NOW)).removed == 0
    assert [record.event_id for record in await ledger.newest(key())] == ["newest", "recent", "pending", "dead"]
    assert (await ledger.get_many("acme", list(ends))).keys() == {"newest", "recent", "pending", "dead"}
    assert await ledger.find(key(), 1) is None
    assert await ledger.counts("other") == {ChangeState.APPLIED: 1, ChangeState.PENDING: 1}


async def test_a_change_that_was_aged_out_may_come_again(ledger: ChangeLedger) -> None:
    for version in (1, 2):
        await ledger.accept(change(f"event-{version}", version))
        await ledger.finish(f"event-{version}", ChangeState.APPLIED, at=NOW)
    assert (await ledger.age_out("acme", LATER)).removed == 1
    await ledger.finish("event-1", ChangeState.APPLIED, at=LATER)
    again = change("event-1", 1, accepted_at=LATER)
    assert await ledger.accept(again) == again
    assert [record.version for record in await ledger.newest(key())] == [2, 1]
    assert await ledger.latest_versions("acme", ["doc"]) == {"doc": 2}


async def test_newest_dead_letters_come_first(ledger: ChangeLedger) -> None:
    for number, state in enumerate((ChangeState.DEAD_LETTERED, ChangeState.APPLIED, *[ChangeState.DEAD_LETTERED] * 2)):
        await ledger.accept(change(f"event-{number}", 9 - number))
        await ledger.finish(f"event-{number}", state, at=NOW + timedelta(seconds=number))
    assert [r.event_id for r in await ledger.newest_dead_letters("acme", 10)] == ["event-3", "event-2", "event-0"]
    assert [r.event_id for r in await ledger.newest_dead_letters("acme", 1)] == ["event-3"]


async def test_counts_are_by_state_without_empty_ones(ledger: ChangeLedger) -> None:
    for number in range(5):
        await ledger.accept(change(f"event-{number}", number))
    await ledger.finish("event-0", ChangeState.APPLIED, at=LATER)
    await ledger.finish("event-1", ChangeState.SUPERSEDED, at=LATER)
    assert await ledger.counts("acme") == {ChangeState.APPLIED: 1, ChangeState.SUPERSEDED: 1, ChangeState.PENDING: 3}


async def test_no_tenant_sees_another_ones_changes(ledger: ChangeLedger) -> None:
    await ledger.accept(change("ours"))
    await ledger.accept(change("theirs", tenant_id="other", version=7))
    await ledger.finish("theirs", ChangeState.DEAD_LETTERED, at=LATER)
    assert (await ledger.get_many("acme", ["ours", "theirs"])).keys() == {"ours"}
    assert [r.event_id for r in await ledger.newest(key())] == ["ours"]
    assert await ledger.latest_versions("acme", ["doc"]) == {"doc": 1}
    assert [r.event_id for r in await ledger.oldest_pending("acme", 9)] == ["ours"]
    assert list(await ledger.newest_dead_letters("acme", 9)) == []
    assert await ledger.counts("acme") == {ChangeState.PENDING: 1}
    for _ in range(2):
        await ledger.drop_tenant("acme")
    assert await ledger.counts("acme") == {}
    assert await ledger.counts("other") == {ChangeState.DEAD_LETTERED: 1}
    await ledger.accept(change("ours again"))
