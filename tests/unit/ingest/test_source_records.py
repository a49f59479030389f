"""Records of sources end as accepted changes or dead letters, and however often and in whatever order they come, the
greatest version of each document stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.sources_world import SourcesWorld, content, debezium, golden, sources
from tests.unit.ingest.test_dead_letters import OPEN
from tests.unit.ingest.world import TENANT, WRITER, World, stop, until

from chassis.errors import DependencyUnavailable
from corpus.domain import DocumentKey, HeadState
from ingest.codec import CHANGES_TOPIC, SOURCES_TOPIC, decode_change
from ingest.sources.debezium import RANKS, Rank
from ingest.sources.mapping import Sources
from ingest.sources.model import SourceRecord
from ingest.topics import topics


@asynccontextmanager
async def taking(world: World, **parts: Any) -> AsyncIterator[SourcesWorld]:
    """Consumers of sources and of changes at work, in both lanes."""
    made = SourcesWorld(world, **parts)
    await world.stores.log.ensure_topic(SOURCES_TOPIC, 3)
    tasks = [asyncio.create_task(each.run()) for each in (made.consumer(), *world.lanes())]
    try:
        yield made
    finally:
        for task in tasks:
            await stop(task)


async def taken(world: World) -> None:
    """Waits until everything that was sent has reached its end."""
    lag = world.stores.log.consumer(SOURCES_TOPIC, "sources")

    async def done() -> bool:
        return not sum((await lag.lag()).values()) and not sum((await world.change_log.lag()).values())

    await until(done, 60)


async def test_a_row_is_served_changed_and_gone_as_its_table_says() -> None:
    async with World() as world, taking(world) as made:
        await made.send(debezium("debezium-read"))
        await made.send(debezium("debezium-create"))
        await taken(world)
        assert "Open the valve" in await world.text("articles/1004")
        head = await world.head("articles/1004")
        assert head is not None
        assert head.principals == ("group:service",)
        await made.send(debezium("debezium-update"))
        await taken(world)
        assert "Close the valve" in await world.text("articles/1004")
        await made.send(debezium("debezium-delete"))
        await made.send(SourceRecord(b'{"id": 1004}', None))
        await taken(world)
        head = await world.head("articles/1004")
        assert head is not None
        assert (head.state, head.version) == (HeadState.DELETED, 24023520 * RANKS + Rank.DELETED)
        assert not await world.dead_letters()


async def test_a_record_that_is_delivered_again_is_the_same_event() -> None:
    async with World() as world, taking(world) as made:
        for _ in range(3):
            await made.send(debezium("debezium-create"))
            await taken(world)
        assert len(await world.values(CHANGES_TOPIC)) == 1


async def test_an_event_has_one_id_whoever_accepted_it() -> None:
    ids = set()
    for _ in range(2):
        async with World() as world, taking(world) as made:
            await made.send(debezium("debezium-create"))
            await taken(world)
            ids |= {decode_change(value).event_id for value in await world.values(CHANGES_TOPIC)}
    assert len(ids) == 1


async def test_an_outage_between_append_and_ledger_loses_and_doubles_nothing() -> None:
    failures = 2

    async def outage(name, call):
        nonlocal failures
        result = await call()
        if name == "ledger.accept" and failures:
            failures -= 1
            raise DependencyUnavailable("Away.", retry_after_seconds=0.0)
        return result

    async with World(outage) as world, taking(world) as made:
        await made.send(debezium("debezium-create"))
        await taken(world)
        assert "Open the valve" in await world.text("articles/1004")
        assert not await world.dead_letters()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (SourceRecord(b"k", b"\xff\xfe"), "MALFORMED_SOURCE_RECORD"),
        (debezium("debezium-toast"), "VALUE_UNAVAILABLE"),
        (SourceRecord(b"k", golden("debezium-create").replace(b'"articles"', b'"salaries"')), "NO_MAPPING"),
        (SourceRecord(b"k", golden("debezium-create").replace(b'"service"', b'""')), "INVALID_PRINCIPAL"),
        (SourceRecord(b"k", golden("debezium-create").replace(b"Open", b"Open" * 300)), "DOCUMENT_TOO_LARGE"),
        (SourceRecord(b"k", golden("debezium-create").replace(b"Pump manual", b"P" * 3000)), "FIELD_TOO_LONG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_bad_record_is_a_dead_letter_with_its_coordinates_and_blocks_nothing(
    record: SourceRecord, reason: str
) -> None:
    async with World() as world, taking(world) as made:
        await made.send(SourceRecord(b'{"id": 1004}', record.value))
        await made.send(debezium("debezium-update"))
        await taken(world)
        (letter,) = await world.dead_letters()
        assert (letter.reason, letter.topic, letter.offset) == (reason, SOURCES_TOPIC, 0)
        assert letter.event == record.value
        assert "Close the valve" in await world.text("articles/1004")


async def test_a_record_that_had_no_mapping_is_taken_when_it_is_replayed_after_one_was_declared() -> None:
    known = {name: each for name, each in sources().sources.items() if name != "wiki"}
    event = content("cloudevents-structured")
    body = json.dumps(event.pop("data")).encode()
    headers = {f"ce_{name}": str(value).encode() for name, value in event.items()}
    async with World() as world:
        operated = Operated(world)
        for mapped in (Sources(sources=known), sources()):
            made = SourcesWorld(world, mapped)
            made.handler = replace(made.handler, dead_letters=operated.kept)
            if len(mapped.sources) == len(known):
                await made.send(SourceRecord(b"", body, headers))
            else:
                (letter,) = await operated.letters.list(OPEN, limit=10)
                assert letter.reason == "NO_MAPPING"
                await operated.decide.replay(WRITER, [letter.letter_id])
            tasks = [asyncio.create_task(each.run()) for each in (made.consumer(), *world.lanes())]
            await taken(world)
            for task in tasks:
                await stop(task)
        assert await world.text("wiki/pages/42") == "The ferry leaves at nine."
        assert not await operated.letters.list(OPEN, limit=10)


async def test_an_unknown_tenant_is_a_dead_letter_and_no_restart() -> None:
    async with World() as world, taking(world) as made:
        await world.stores.tenants.delete(TENANT)
        await made.send(debezium("debezium-create"))
        await taken(world)
        (letter,) = await world.dead_letters()
        assert letter.reason == "UNKNOWN_TENANT"


async def test_two_contents_of_one_version_are_a_dead_letter() -> None:
    other = json.loads(golden("debezium-create"))
    other["after"]["body"] = "Something else."
    async with World() as world, taking(world) as made:
        await made.send(debezium("debezium-create"))
        await made.send(SourceRecord(b'{"id": 1004}', json.dumps(other).encode()))
        await taken(world)
        (letter,) = await world.dead_letters()
        assert letter.reason == "VERSION_CONFLICT"
        assert "Open the valve" in await world.text("articles/1004")


async def test_an_object_comes_from_its_bucket_and_leaves_with_it() -> None:
    async with World() as world, taking(world) as made:
        made.bucket.objects["docs/pump manual ä.md"] = b"The pump starts slowly."
        await made.send(SourceRecord(b"a", golden("s3-created")))
        await taken(world)
        document_id = "handbooks/docs/pump manual ä.md"
        assert await world.text(document_id) == "The pump starts slowly."
        made.bucket.objects["docs/pump manual ä.md"] = b"Later content, of which a notification is on its way."
        await made.send(SourceRecord(b"a", golden("s3-created")))
        await taken(world)
        assert made.bucket.read_keys == ["docs/pump manual ä.md"]
        await made.send(SourceRecord(b"a", golden("s3-removed")))
        await taken(world)
        head = await world.head(document_id)
        assert head is not None
        assert head.state is HeadState.DELETED
        assert not await world.dead_letters()


async def test_an_object_that_is_gone_before_it_is_read_is_gone() -> None:
    async with World() as world, taking(world) as made:
        await made.send(SourceRecord(b"a", golden("s3-created")))
        await taken(world)
        head = await world.head("handbooks/docs/pump manual ä.md")
        assert head is not None
        assert head.state is HeadState.DELETED


async def test_records_without_a_key_dont_wait_for_each_other() -> None:
    gate = asyncio.Event()

    async def hold_the_first(name, call):
        if name == "objects.put" and not gate.is_set():
            await gate.wait()
        return await call()

    async with World(hold_the_first) as world:
        made = SourcesWorld(world)
        for number, document_id in enumerate(("one", "two", "three")):
            event = {**content("cloudevents-structured"), "subject": document_id, "sequence": str(number + 1)}
            await made.send(SourceRecord(b"", json.dumps(event).encode()))
        consumer = made.consumer()
        task = asyncio.create_task(consumer.run())
        waiting: set[int] = set()

        async def all_in_work() -> bool:
            waiting.add(len(consumer._running))
            return max(waiting) == 3 and all(not each.done() for each in consumer._running)

        await until(all_in_work)
        gate.set()
        await until(lambda: _is_accepted(world, 3))
        await stop(task)


async def _is_accepted(world: World, count: int) -> bool:
    return len(await world.values(CHANGES_TOPIC)) == count


def test_the_topic_of_sources_keeps_the_records_of_deletes() -> None:
    assert not topics(3)[SOURCES_TOPIC].compacted


# -- order -------------------------------------------------------------------------------------------------------------


def history(steps: Sequence[tuple[int, str]]) -> list[SourceRecord]:
    """Records of rows as a connector writes them: positions grow, and each row lives as its steps say."""
    records: list[SourceRecord] = []
    alive: set[int] = set()
    for number, (row, text) in enumerate(steps):
        envelope = content("debezium-create")
        envelope["source"]["lsn"] = 1000 + 8 * number
        after = {**envelope["after"], "id": row, "title": f"Row {row}", "body": text}
        if text == "" and row in alive:
            alive.remove(row)
            envelope.update(op="d", before={"id": row, "title": None}, after=None)
        elif text == "":
            continue
        else:
            envelope.update(op="u" if row in alive else "c", before=None, after=after)
            alive.add(row)
        key = json.dumps({"id": row}).encode()
        records.append(SourceRecord(key, json.dumps(envelope).encode()))
        if envelope["op"] == "d":
            records.append(SourceRecord(key, None))
    return records


def oracle(records: Sequence[SourceRecord]) -> dict[str, tuple[int, str | None]]:
    """The greatest position of each row, and its text then."""
    newest: dict[str, tuple[int, str | None]] = {}
    for record in records:
        if record.value is None:
            continue
        envelope = json.loads(record.value)
        row = envelope["after"] or envelope["before"]
        body = envelope["after"] and envelope["after"]["body"]
        said = (envelope["source"]["lsn"], body)
        document_id = f"articles/{row['id']}"
        newest[document_id] = max(newest.get(document_id, said), said, key=lambda pair: pair[0])
    return newest


steps = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["One valve.", "Two pumps.", "Three filters.", ""])))


@pytest.mark.timeout(600)
@settings(max_examples=15)
@given(steps=steps.filter(bool), data=st.data())
def test_redelivered_and_shuffled_records_leave_the_greatest_version(
    steps: list[tuple[int, str]], data: st.DataObject
) -> None:
    records = history(steps)
    repeated = [*records, *data.draw(st.lists(st.sampled_from(records), max_size=10))] if records else []
    shuffled = data.draw(st.permutations(repeated))

    async def play() -> None:
        async with World() as world, taking(world) as made:
            for record in shuffled:
                await made.send(record)
            await taken(world)
            assert not await world.dead_letters()
            for document_id, (position, body) in oracle(records).items():
                head = await world.stores.heads.get(DocumentKey(TENANT, document_id))
                assert head is not None
                assert head.version // RANKS == position
                assert (head.state is HeadState.LIVE) == (body is not None)
                if body is not None:
                    assert body in await world.text(document_id)

    asyncio.run(play())
