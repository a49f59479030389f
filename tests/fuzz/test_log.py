"""Whatever lies on a topic: a change, or a dead letter with its coordinates; the worker goes on, and so does what lies
behind."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.made import encoded, mangled, texts
from tests.fuzz.profiles import tried
from tests.unit.ingest.sources_world import GOLDEN, SourcesWorld
from tests.unit.ingest.world import STAFF, WRITER, World, stop, until

from chassis.errors import InvalidRequest
from corpus.feed import decode_head, read_record_key
from headwater.events.v1 import events_pb2
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, SOURCES_TOPIC
from ingest.consumer import ChangeConsumer
from ingest.domain import Draft
from ingest.sources.model import SourceRecord

pytestmark = [pytest.mark.xdist_group("fuzz"), pytest.mark.timeout(3600)]

LONGEST_SECONDS = 1.0
"""Of processor time for one record."""
Line = tuple[str, bytes, bytes | None]
"""Topic, key and value."""

events = encoded(events_pb2.DocumentChange.DESCRIPTOR)
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@st.composite
def lines(draw: st.DrawFn) -> list[Line]:
    """Records of both lanes, under the keys that they should have, and under others."""
    made: list[Line] = []
    for value in draw(st.lists(st.one_of(events, st.none()), min_size=1, max_size=4)):
        key = draw(st.one_of(st.none(), texts.map(str.encode), st.binary(max_size=8)))
        made.append((draw(st.sampled_from([CHANGES_TOPIC, BULK_CHANGES_TOPIC])), _key(key, value), value))
    return made


def _key(key: bytes | None, value: bytes | None) -> bytes:
    if key is not None or value is None:
        return key or b""
    try:
        event = events_pb2.DocumentChange.FromString(value)
    except Exception:
        return b"acme/guide"
    return f"{event.tenant_id}/{event.document_id}".encode()


@tried(12, 600)
@given(records=lines())
def test_records_of_changes(records: list[Line]) -> None:
    async def play() -> None:
        async with World() as world:
            await handled(world, records, list(world.lanes()))

    asyncio.run(play())


@tried(12, 600)
@given(data=st.data(), names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_records_of_sources(data: st.DataObject, names: list[str]) -> None:
    records = [data.draw(source_records(name)) for name in names]

    async def play() -> None:
        async with World() as world:
            made = SourcesWorld(world)
            await world.stores.log.ensure_topic(SOURCES_TOPIC, 3)
            for record in records:
                await made.send(record)
            lag = world.stores.log.consumer(SOURCES_TOPIC, "sources")

            async def taken() -> bool:
                return not sum((await lag.lag()).values())

            task = asyncio.create_task(made.consumer().run())
            busy = time.process_time()
            await alive_until(taken, task)
            assert time.process_time() - busy < LONGEST_SECONDS * len(records)
            await stop(task)
            await handled(world, [], list(world.lanes()))

    asyncio.run(play())


@st.composite
def source_records(draw: st.DrawFn, name: str) -> SourceRecord:
    """A golden record with other values in some places, or other bytes."""
    content = json.loads((GOLDEN / f"{name}.json").read_bytes())
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 6]))):
        content = draw(altered(content))
    value = json.dumps(content).encode()
    if draw(st.integers(0, 3)) == 0:
        value = draw(mangled(value))
    headers = {"content-type": b"application/cloudevents+json"} if draw(st.booleans()) else {}
    if draw(st.integers(0, 4)) == 0:
        names = st.sampled_from(["specversion", "id", "source", "type", "subject", "sequence", "\u00e4"])
        pairs = st.dictionaries(names.map("ce_{}".format), st.one_of(st.binary(max_size=9), texts.map(str.encode)))
        headers |= {"ce_specversion": b"1.0", "ce_source": b"/wiki", "ce_id": b"1", **draw(pairs)}
    key = draw(st.one_of(st.just(b'{"id": 1004}'), st.binary(max_size=9)))
    return SourceRecord(key, draw(st.sampled_from([value, value, value, None])), headers)


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.sampled_from(["__debezium_unavailable_value", "0/16E9058", "r", "c", "u", "d", "t", "ObjectRemoved:Delete"]),
    st.lists(texts, max_size=2),
    st.dictionaries(texts, texts, max_size=2),
)


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """The JSON value with another one somewhere in it."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 9)) == 0:
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: draw(altered(value[name]))}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(altered(value[at])), *value[at + 1 :]]
    return draw(_values)


async def handled(world: World, records: Sequence[Line], workers: list[ChangeConsumer]) -> None:
    """Has the records handled, and a document behind them in every partition."""
    producer = world.stores.log.producer()
    for topic, key, value in records:
        await producer.append(topic, key, value, {"traceparent": value[:20] if value else b""})
    behind = [Draft(f"behind-{n}", 0, filename="a.txt", principals=STAFF) for n in range(world.partitions * 2)]
    for draft in behind:
        await world.accept.put(WRITER, draft, b"One valve.")

    async def done() -> bool:
        return not sum((await world.change_log.lag()).values())

    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    busy = time.process_time()
    await alive_until(done, *tasks)
    assert time.process_time() - busy < LONGEST_SECONDS * (len(records) + len(behind))
    for task in tasks:
        await stop(task)
    for draft in behind:
        assert await world.text(draft.document_id) == "One valve."
    for letter in await world.dead_letters():
        assert letter.reason
        assert letter.topic


async def alive_until(condition: Any, *tasks: asyncio.Task[None]) -> None:
    """Waits for the condition, or for a worker that stops, which is a failure."""

    async def over() -> bool:
        return any(task.done() for task in tasks) or await condition()

    await until(over, 300)
    for task in tasks:
        if task.done():
            task.result()


@tried(40, 5000)
@given(value=encoded(events_pb2.HeadChanged.DESCRIPTOR), key=st.one_of(st.binary(max_size=12), texts.map(str.encode)))
def test_records_of_the_feed_of_heads(value: bytes, key: bytes) -> None:
    read_record_key(key)
    reason = ""
    try:
        version = decode_head(value).version
    except InvalidRequest as error:
        reason, version = error.reason, 0
    assert version > 0 or reason == "MALFORMED_EVENT"
