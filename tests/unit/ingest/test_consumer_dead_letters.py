"""What can not be applied ends as one dead letter that says where it came from, and blocks nothing."""

from __future__ import annotations

import pytest
from tests.unit.ingest.consuming import append, until_ended, until_lag_is, working
from tests.unit.ingest.world import World

from chassis.errors import DependencyUnavailable
from corpus.domain import ChangeState
from ingest.adapters.event_log import MAX_EVENT_BYTES
from ingest.codec import CHANGES_TOPIC, encode_change, key_bytes
from ingest.domain import Delete


async def test_a_bad_document_is_one_dead_letter_with_its_reason_and_blocks_nothing() -> None:
    async with World(partitions=1) as world, working(world):
        bad, good = await world.upsert("bad", 1, "BAD"), await world.upsert("good", 1, "good")
        await append(world, bad, good)
        states = await until_ended(world, bad.event_id, good.event_id)
        assert states == {bad.event_id: ChangeState.DEAD_LETTERED, good.event_id: ChangeState.APPLIED}
        record = await world.record(bad.event_id)
        assert record is not None
        assert (record.reason, record.attempts) == ("UNREADABLE", 1)
        (letter,) = await world.dead_letters()
        assert (letter.event_id, letter.document_id, letter.version) == (bad.event_id, "bad", 1)
        assert (letter.topic, letter.partition, letter.offset) == (CHANGES_TOPIC, 0, 0)
        assert letter.reason == "UNREADABLE"
        assert letter.event == encode_change(bad)
        assert letter.object_key == bad.change.content.object_key


async def test_a_dead_letter_is_recorded_once_even_when_the_ledger_fails_after_it() -> None:
    failures = 2

    async def fail(name, call):
        nonlocal failures
        if name == "ledger.finish" and failures:
            failures -= 1
            raise DependencyUnavailable("The ledger is away.")
        return await call()

    async with World(fail) as world, working(world):
        (event_id,) = await append(world, await world.upsert("bad", 1, "BAD"))
        assert await until_ended(world, event_id) == {event_id: ChangeState.DEAD_LETTERED}
        assert len(await world.dead_letters()) == 1


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe random", b"\x0a\x02\xc3\x28", b"\x0a\x05hello"], ids=str)
async def test_bytes_that_are_no_event_are_a_dead_letter_with_their_coordinates(value: bytes | None) -> None:
    async with World(partitions=1) as world, working(world):
        await world.stores.log.producer().append(CHANGES_TOPIC, b"", value)
        (good,) = await append(world, await world.upsert("good", 1, "good"))
        await until_ended(world, good)
        await until_lag_is(world, 0)
        (letter,) = await world.dead_letters()
        assert letter.reason == "MALFORMED_EVENT"
        assert (letter.partition, letter.offset) == (0, 0)
        assert letter.event == (value or b"")


async def test_the_dead_letter_of_an_event_too_large_for_it_says_only_where_the_event_is() -> None:
    async with World(partitions=1) as world, working(world):
        await world.stores.log.producer().append(CHANGES_TOPIC, b"", b"\xff" * (MAX_EVENT_BYTES + 1))
        await until_lag_is(world, 0)
        (letter,) = await world.dead_letters()
        assert (letter.reason, letter.topic, letter.offset, letter.event) == ("MALFORMED_EVENT", CHANGES_TOPIC, 0, b"")


async def test_an_event_under_another_documents_key_is_a_dead_letter() -> None:
    async with World(partitions=1) as world, working(world):
        event = world.event("guide", 1, Delete())
        wrong = key_bytes(world.event("other", 1, Delete()).key)
        await world.stores.log.producer().append(CHANGES_TOPIC, wrong, encode_change(event))
        await until_lag_is(world, 0)
        assert [letter.reason for letter in await world.dead_letters()] == ["MALFORMED_EVENT"]
        assert await world.head("guide") is None
