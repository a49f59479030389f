"""What is open has an age and a reason; what ended long ago is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.world import READER, START, TENANT, WRITER, World

from chassis.errors import DependencyUnavailable, InvalidRequest, PermissionDenied
from corpus.dead_letters import Halt, LetterFilter
from corpus.domain import ChangeState
from ingest.ageing import AgeOut
from ingest.dead_letters.messages import page_token, read_page_token
from ingest.open_changes import LookAtOpenChanges, OpenCause


def look_at(operated: Operated) -> LookAtOpenChanges:
    stores = operated.world.stores
    return LookAtOpenChanges(stores.ledger, operated.halts, operated.letters, operated.world.clock, stores.tenants)


async def test_every_open_change_says_since_when_and_what_it_waits_for() -> None:
    async with World() as world:
        operated, ledger = Operated(world), world.stores.ledger
        refused = await operated.put("refused", "BAD")
        await operated.work()
        await operated.decide.replay(WRITER, [refused])
        world.clock.advance(60)
        retried = await operated.put("retried", "words")
        await ledger.note_failure(retried, reason="EMBEDDER_DOWN", message="Wait.", attempts=3)
        world.clock.advance(30)
        waiting = await operated.put("waiting", "words")
        found = {change.record.event_id: change for change in await look_at(operated).list(WRITER)}
        assert {event_id: change.cause for event_id, change in found.items()} == {
            refused: OpenCause.REPLAYED,
            retried: OpenCause.RETRYING,
            waiting: OpenCause.WAITING,
        }
        assert [round(found[event_id].age_seconds) for event_id in (refused, retried, waiting)] == [90, 30, 0]
        assert (found[retried].record.reason, found[retried].record.attempts) == ("EMBEDDER_DOWN", 3)
        await operated.halts.put(Halt("node/1", world.clock.now(), world.clock.now(), "PARSER_CRASHED", "", 1))
        found = {change.record.event_id: change for change in await look_at(operated).list(WRITER)}
        assert found[waiting].cause is OpenCause.HALTED


async def test_a_halt_of_which_nothing_was_heard_for_long_is_none() -> None:
    async with World() as world:
        operated = Operated(world)
        await operated.halts.put(Halt("node/1", world.clock.now(), world.clock.now(), "PARSER_CRASHED", "", 1))
        assert len(await look_at(operated).halted()) == 1
        world.clock.advance(120)
        assert list(await look_at(operated).halted()) == []


async def test_a_defect_that_stops_the_worker_is_noted_at_the_change() -> None:
    async with World() as world:
        operated = Operated(world)

        async def defect(*args: object) -> None:
            raise RuntimeError("a defect")

        world.parser.parse = defect  # type: ignore[assignment, method-assign]
        event_id = await operated.put("doc", "words")
        with pytest.raises(RuntimeError):
            await operated.work()
        [change] = await look_at(operated).list(WRITER)
        assert (change.record.event_id, change.cause, change.record.reason) == (
            event_id,
            OpenCause.RETRYING,
            "DEFECT",
        )


async def test_open_changes_need_the_write_scope_and_letters_of_all_the_admin_scope() -> None:
    async with World() as world:
        operated = Operated(world)
        await operated.append(b"junk")
        await operated.work()
        with pytest.raises(PermissionDenied):
            await look_at(operated).list(READER)
        assert await look_at(operated).open_letters(READER) == 0
        assert await look_at(operated).open_letters(WRITER) == 1


def test_page_tokens_are_read_as_they_were_made_and_nothing_else_is() -> None:
    assert read_page_token("") is None
    assert read_page_token(page_token(START, "é/1")) == (START, "é/1")
    for wrong in ("x", "é", "bnVsbA==", "W10=", "WzEsMiwzXQ==", page_token(START, "a")[:-3], "WzFlOTk5LCIiXQ=="):
        with pytest.raises(InvalidRequest):
            read_page_token(wrong)


def age(operated: Operated) -> AgeOut:
    stores = operated.world.stores
    return AgeOut(
        stores.tenants,
        stores.ledger,
        operated.letters,
        operated.known_bad,
        operated.halts,
        stores.objects,
        operated.world.clock,
        timedelta(days=30),
        pause_seconds=0.0,
    )


async def test_what_was_decided_long_ago_is_forgotten_and_what_waits_for_an_operator_is_not() -> None:
    async with World() as world:
        operated = Operated(world)
        first = await operated.put("doc", "one")
        open_one = await operated.put("open", "BAD open")
        given_up = await operated.put("given-up", "BAD given up")
        await operated.work()
        await operated.put("doc", "two")
        await operated.work()
        await operated.decide.discard(WRITER, [given_up], "no use")
        kept = {letter.letter_id: letter.event_key for letter in await operated.all()}
        world.clock.advance(31 * 86_400)
        later = await operated.put("doc", "three")
        await operated.work()
        forgotten = await age(operated).run()
        assert (forgotten.changes, forgotten.letters, forgotten.known_bad) == (2, 1, 2)
        assert await world.record(first) is None
        assert await operated.state(later) is ChangeState.APPLIED
        assert await operated.state(open_one) is ChangeState.DEAD_LETTERED
        assert [letter.letter_id for letter in await operated.letters.list(LetterFilter())] == [open_one]
        assert kept[open_one] in world.stores.objects.objects
        assert kept[given_up] not in world.stores.objects.objects
        again = await age(operated).run()
        assert (again.changes, again.letters, again.known_bad) == (0, 0, 0)


async def test_a_pass_does_a_bounded_amount_and_the_next_one_goes_on() -> None:
    async with World() as world:
        operated = Operated(world)
        for number in range(9):
            await operated.put("doc", f"text {number}")
        await operated.work()
        world.clock.advance(31 * 86_400)
        ageing = age(operated)
        ageing.page = ageing.pages = 2
        removed = [(await ageing.run()).changes for _ in range(4)]
        assert (sum(removed), max(removed)) == (8, 4)
        assert (await world.stores.ledger.counts(TENANT)) == {ChangeState.APPLIED: 1}


async def test_dropping_a_tenant_takes_its_letters_and_known_files_along() -> None:
    async with World() as world:
        operated = Operated(world)
        await operated.put("doc", "BAD")
        await operated.work()
        manage = replace(world.manage, letters=operated.letters, known_bad=operated.known_bad)
        await manage.delete(WRITER, TENANT)
        assert await operated.all() == []
        assert world.stores.objects.objects == {}
        assert operated.known_bad._known == {}


async def test_the_tenant_of_a_letter_may_be_gone() -> None:
    async with World() as world:
        operated = Operated(world)
        event_id = await operated.put("doc", "BAD")
        await operated.work()
        await world.stores.tenants.delete(TENANT)
        [result], _ = await operated.decide.replay(WRITER, [event_id])
        assert result.reason == "UNKNOWN_TENANT"


async def test_a_store_that_is_away_is_said_and_not_hidden() -> None:
    async with World() as world:
        operated = Operated(world)

        async def away(*args: object, **kwargs: object) -> None:
            raise DependencyUnavailable("away")

        operated.letters.decided_before = away  # type: ignore[assignment, method-assign]
        with pytest.raises(DependencyUnavailable):
            await age(operated).run()
