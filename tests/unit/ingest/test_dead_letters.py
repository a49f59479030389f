"""Dead letters: written once, listed, tried again, given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.world import READER, TENANT, WRITER, World, stop, until

from chassis.errors import InvalidRequest, NotFound, PermissionDenied
from corpus.dead_letters import LetterFilter, LetterState
from corpus.domain import ChangeState, DocumentKey
from headwater.events.v1 import events_pb2
from ingest.codec import CHANGES_TOPIC, SOURCES_TOPIC, encode_change, key_bytes
from ingest.dead_letters.decide import LetterOutcome
from ingest.dead_letters.letters import LETTER_HEADER, decode_record
from ingest.domain import Delete
from ingest.index import IndexDocument
from ingest.ports import FailedEvent

OPEN = LetterFilter(state=LetterState.OPEN)


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    async with World() as world:
        yield Operated(world)


async def test_a_letter_says_which_change_failed_where_and_why_but_not_what_is_in_it(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD secret")
    await operated.work()
    [letter] = await operated.all()
    key, version = (await operated.world.record(event_id)).key, (await operated.world.record(event_id)).version  # type: ignore[union-attr]
    assert (letter.letter_id, letter.state) == (event_id, LetterState.OPEN)
    assert (DocumentKey(letter.tenant_id, letter.document_id), letter.version) == (key, version)
    assert (letter.topic, letter.reason, letter.first_reason) == (CHANGES_TOPIC, "UNREADABLE", "UNREADABLE")
    assert (letter.attempts, letter.replays, letter.registered) == (1, 0, False)
    assert letter.object_key.startswith(f"documents/{TENANT}/")
    assert letter.first_failed_at == letter.last_failed_at == operated.world.clock.now()
    assert "secret" not in repr(letter)
    [copy] = await operated.world.dead_letters()
    assert (copy.letter_id, copy.event_object_key) == (event_id, letter.event_key)


POISON = {
    "random bytes": b"\xff\x00\x9c\x13junk",
    "no bytes": b"",
    "no value": None,
    "a truncated event": b"\n\x20" + b"a" * 7,
    "an event without a change": b"\x0a\x01x",
}


@pytest.mark.parametrize("name", POISON)
async def test_a_record_that_is_no_change_is_a_letter_exactly_once_with_its_coordinates(
    operated: Operated, name: str
) -> None:
    await operated.append(POISON[name])
    good = await operated.put("good", "fine words")
    await operated.work()
    [letter] = await operated.all()
    assert (letter.tenant_id, letter.document_id, letter.kind, letter.reason) == ("", "", None, "MALFORMED_EVENT")
    assert (letter.topic, letter.offset) == (CHANGES_TOPIC, 0)
    kept = decode_record(await operated.world.stores.objects.get(letter.event_key))
    assert (kept.key, kept.value) == (b"acme/doc", POISON[name])
    assert await operated.state(good) is ChangeState.APPLIED
    shown, change = await operated.decide.show(WRITER, letter.letter_id)
    assert (shown, change) == (letter, None)
    [refused], _ = await operated.decide.replay(WRITER, [letter.letter_id])
    assert (refused.outcome, refused.reason) == (LetterOutcome.REFUSED, "MALFORMED_EVENT")
    for _ in range(2):
        [gone], _ = await operated.decide.discard(WRITER, [letter.letter_id], "not ours")
        assert gone.outcome is LetterOutcome.DISCARDED
    [letter] = await operated.all()
    assert (letter.state, letter.decided_by, letter.why) == (LetterState.DISCARDED, WRITER.subject, "not ours")


async def test_an_empty_key_is_a_letter_too(operated: Operated) -> None:
    event = operated.world.event("doc", 3, Delete())
    await operated.append(encode_change(event), key=b"")
    await operated.work()
    [letter] = await operated.all()
    assert (letter.reason, letter.tenant_id) == ("MALFORMED_EVENT", "")


async def test_a_record_that_is_handled_again_leaves_no_second_letter(operated: Operated) -> None:
    await operated.append(b"junk")
    await operated.put("doc", "BAD")
    await operated.work()
    before = await operated.all()
    # Another group reads everything from the beginning, as after a crash before the commit.
    consumer = operated.world.consumer()
    consumer.consumer = operated.world.stores.log.consumer(CHANGES_TOPIC, "again")
    again = asyncio.create_task(consumer.run())
    lag = operated.world.stores.log.consumer(CHANGES_TOPIC, "again").lag

    async def done() -> bool:
        return sum((await lag()).values()) == 0

    await until(done)
    await stop(again)
    assert await operated.all() == before
    assert len(await operated.world.dead_letters()) == 2


async def test_the_same_bytes_at_two_places_are_two_letters(operated: Operated) -> None:
    await operated.append(b"junk")
    await operated.append(b"junk")
    await operated.work()
    assert {letter.offset for letter in await operated.all()} == {0, 1}


async def test_a_replay_after_a_fix_applies_the_change_and_keeps_its_history(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD valve")
    await operated.work()
    operated.heal()
    [result], more = await operated.decide.replay(WRITER, [event_id])
    assert (result.outcome, more) == (LetterOutcome.REPLAYED, False)
    record = await operated.world.record(event_id)
    assert record is not None
    assert (record.state, record.reason, record.attempts, record.replays) == (
        ChangeState.PENDING,
        "UNREADABLE",
        1,
        1,
    )
    [letter] = await operated.all()
    assert (letter.state, letter.decided_by) == (LetterState.REPLAYING, WRITER.subject)
    await operated.work()
    record = await operated.world.record(event_id)
    assert record is not None
    assert (record.state, record.attempts) == (ChangeState.APPLIED, 2)
    assert await operated.world.text("doc") == "GOOD valve"
    [letter] = await operated.all()
    assert (letter.state, letter.outcome) == (LetterState.REPLAYED, ChangeState.APPLIED)


async def test_a_replay_that_fails_again_is_one_open_letter_with_all_its_attempts(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD")
    await operated.work()
    first = (await operated.all())[0]
    for number in (1, 2):
        operated.world.clock.advance(60)
        await operated.decide.replay(WRITER, [event_id])
        await operated.work()
        [letter] = await operated.all()
        assert (letter.state, letter.replays, letter.attempts) == (LetterState.OPEN, number, number + 1)
        assert await operated.state(event_id) is ChangeState.DEAD_LETTERED
    assert letter.first_failed_at == first.first_failed_at < letter.last_failed_at
    assert letter.offset > first.offset
    assert len(await operated.world.dead_letters()) == 3


async def test_replaying_twice_does_no_harm(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD one")
    await operated.work()
    operated.heal()
    outcomes = [(await operated.decide.replay(WRITER, [event_id]))[0][0].outcome for _ in range(2)]
    assert outcomes == [LetterOutcome.REPLAYED, LetterOutcome.DUPLICATE]
    await operated.work()
    [late], _ = await operated.decide.replay(WRITER, [event_id])
    assert (late.outcome, late.reason) == (LetterOutcome.DUPLICATE, "APPLIED")
    await operated.work()
    assert await operated.state(event_id) is ChangeState.APPLIED
    assert await operated.world.text("doc") == "GOOD one"


async def test_two_records_of_one_replay_are_one_replay(operated: Operated) -> None:
    """As when a call is repeated after an unknown outcome, or two operators replay at once."""
    event_id = await operated.put("doc", "BAD")
    await operated.work()
    [letter] = await operated.all()
    await asyncio.gather(*(operated.decide.replay(WRITER, [event_id]) for _ in range(3)))
    await operated.work()
    [letter] = await operated.all()
    assert (letter.state, letter.replays, letter.attempts) == (LetterState.OPEN, 1, 2)
    assert await operated.state(event_id) is ChangeState.DEAD_LETTERED


async def test_a_replay_whose_caller_died_after_the_append_is_completed_by_the_worker(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD")
    await operated.work()
    operated.heal()

    ledger = operated.world.stores.ledger

    async def dies(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the process is gone")

    dying = replace(operated.decide, ledger=_With(ledger, reopen=dies))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        await dying.replay(WRITER, [event_id])
    assert await operated.state(event_id) is ChangeState.DEAD_LETTERED
    await operated.work()
    assert await operated.state(event_id) is ChangeState.APPLIED
    [letter] = await operated.all()
    assert letter.state is LetterState.REPLAYED


class _With:
    """An object, one method of which is another one."""

    def __init__(self, inner: object, **methods: object) -> None:
        self._inner = inner
        vars(self).update(methods)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


async def test_a_newer_version_makes_a_replay_superseded(operated: Operated) -> None:
    old = await operated.put("doc", "BAD old", 5)
    await operated.work()
    await operated.put("doc", "new words", 6)
    await operated.work()
    operated.heal()
    [result], _ = await operated.decide.replay(WRITER, [old])
    assert result.outcome is LetterOutcome.SUPERSEDED
    await operated.work()
    assert await operated.state(old) is ChangeState.SUPERSEDED
    assert await operated.world.text("doc") == "new words"
    [letter] = await operated.all()
    assert (letter.state, letter.outcome) == (LetterState.REPLAYED, ChangeState.SUPERSEDED)


async def test_all_of_a_reason_are_replayed_at_once_and_others_are_not(operated: Operated) -> None:
    for number in range(3):
        await operated.put(f"bad/{number}", f"BAD {number}")
    await operated.append(b"junk")
    await operated.work()
    operated.heal()
    with pytest.raises(InvalidRequest):
        await operated.decide.replay(WRITER, LetterFilter())
    results, more = await operated.decide.replay(WRITER, LetterFilter(reason="UNREADABLE"))
    assert ([result.outcome for result in results], more) == ([LetterOutcome.REPLAYED] * 3, False)
    await operated.work()
    assert await operated.world.text("bad/2") == "GOOD 2"
    assert [letter.reason for letter in await operated.letters.list(OPEN)] == ["MALFORMED_EVENT"]


async def test_a_discarded_change_is_terminal_with_who_and_why(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD")
    await operated.work()
    for _ in range(2):
        [result], _ = await operated.decide.discard(WRITER, [event_id], "scanned upside down")
        assert result.outcome is LetterOutcome.DISCARDED
    record = await operated.world.record(event_id)
    assert record is not None
    assert (record.state, record.reason) == (ChangeState.DISCARDED, "UNREADABLE")
    assert record.message == f"Discarded by {WRITER.subject}: scanned upside down"
    [refused], _ = await operated.decide.replay(WRITER, [event_id])
    assert (refused.outcome, refused.reason) == (LetterOutcome.REFUSED, "DISCARDED")
    await operated.work()
    assert await operated.state(event_id) is ChangeState.DISCARDED


async def test_what_is_being_tried_again_is_not_discarded(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD")
    await operated.work()
    await operated.decide.replay(WRITER, [event_id])
    [refused], _ = await operated.decide.discard(WRITER, [event_id], "no")
    assert (refused.outcome, refused.reason) == (LetterOutcome.REFUSED, "REPLAY_UNDER_WAY")


async def test_a_file_of_too_many_chunks_is_taken_once_the_chunks_are_larger(operated: Operated) -> None:
    world = operated.world
    index = world.apply.index
    assert isinstance(index, IndexDocument)
    for limit, state in ((0, ChangeState.DEAD_LETTERED), (50, ChangeState.APPLIED)):
        # As many fewer chunks as larger ones would be.
        world.apply = replace(world.apply, index=replace(index, max_chunks_per_document=limit))
        world.handler = replace(world.handler, apply=world.apply)
        event_id = await operated.put("large", "text")
        await operated.work()
        assert await operated.state(event_id) is state


async def test_a_known_bad_file_is_refused_unparsed_until_it_is_replayed_or_forgotten(operated: Operated) -> None:
    parsed: list[bytes] = []
    parse = operated.world.parser.parse

    async def counting(data: bytes, filename: str, media_type: str):
        parsed.append(data)
        return await parse(data, filename, media_type)

    operated.world.parser.parse = counting  # type: ignore[method-assign]
    first = await operated.put("a", "BAD")
    await operated.work()
    second = await operated.put("b", "BAD")
    await operated.work()
    assert len(parsed) == 1
    letters = {letter.letter_id: letter for letter in await operated.all()}
    assert (letters[first].registered, letters[second].registered) == (False, True)
    assert letters[second].reason == "UNREADABLE"
    assert "not parsed again" in letters[second].message
    assert await operated.decide.forget(WRITER, [first]) == 1
    assert await operated.decide.forget(WRITER, [first]) == 0
    await operated.put("c", "BAD")
    await operated.work()
    assert len(parsed) == 2
    await operated.decide.replay(WRITER, [second])
    await operated.work()
    assert len(parsed) == 3


async def test_a_record_of_another_system_is_appended_again_as_it_was(operated: Operated) -> None:
    log = operated.world.stores.log
    await log.ensure_topic(SOURCES_TOPIC, 1)
    event = FailedEvent(
        SOURCES_TOPIC, 0, 7, b'{"op":"c"}', "UNKNOWN_TENANT", 1, None, "", "No.", b"key", {"ce_id": b"1"}
    )
    await operated.kept.record(event)
    [letter] = await operated.all()
    [result], _ = await operated.decide.replay(WRITER, [letter.letter_id])
    assert result.outcome is LetterOutcome.REPLAYED
    reader = log.reader(SOURCES_TOPIC)
    await reader.start()
    [record] = await reader.poll(10, 0.0)
    assert (record.key, record.value, record.headers["ce_id"]) == (b"key", b'{"op":"c"}', b"1")
    assert record.headers[LETTER_HEADER] == letter.letter_id.encode()
    await operated.kept.record(replace(event, offset=8, headers=record.headers))
    [letter] = await operated.all()
    assert (letter.state, letter.offset, letter.attempts) == (LetterState.OPEN, 8, 2)


async def test_a_record_can_not_name_a_letter_that_is_not_its_own(operated: Operated) -> None:
    event_id = await operated.put("doc", "BAD")
    await operated.work()
    [mine] = await operated.all()
    for topic in (CHANGES_TOPIC, SOURCES_TOPIC):
        await operated.kept.record(
            FailedEvent(topic, 1, 1, b"x", "MALFORMED_EVENT", 1, None, "", headers={LETTER_HEADER: event_id.encode()})
        )
    assert await operated.letters.get(event_id) == mine
    assert len(await operated.all()) == 3


async def test_only_administrators_decide(operated: Operated) -> None:
    for attempt in (
        lambda: operated.decide.list(READER, LetterFilter(), None, 10),
        lambda: operated.decide.show(READER, "x"),
        lambda: operated.decide.replay(READER, ["x"]),
        lambda: operated.decide.discard(READER, ["x"], "why"),
        lambda: operated.decide.forget(READER, ["x"]),
        lambda: operated.decide.resume(READER),
    ):
        with pytest.raises(PermissionDenied):
            await attempt()
    with pytest.raises(NotFound):
        await operated.decide.show(WRITER, "unknown")
    with pytest.raises(InvalidRequest):
        await operated.decide.discard(WRITER, ["x"], " ")


async def test_what_a_newer_release_wrote_into_an_event_survives_its_replay(operated: Operated) -> None:
    event = await operated.world.upsert("doc", 3, "BAD")
    unknown = b"\xa2\x06\x05later"  # field 100
    await operated.append(encode_change(event) + unknown, key_bytes(event.key))
    await operated.work()
    await operated.decide.replay(WRITER, [event.event_id])
    values = await operated.world.values(CHANGES_TOPIC)
    assert unknown in values[-1]
    assert events_pb2.DocumentChange.FromString(values[-1]).replay == 1
