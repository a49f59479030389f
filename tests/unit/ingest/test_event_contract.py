"""What one release wrote, every other one reads: nothing that it does not know gets lost, and nothing that it knew
changes its meaning."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-not-found]
from tests.golden.events.record import HERE, UNKNOWN_FIELD, replayed, state
from tests.unit.ingest.world import TENANT, World, stop, until

from headwater.events.v1 import events_pb2
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, decode_change, encode_change, key_bytes, replayed_value
from ingest.domain import Lane, SetAccess
from ingest.handle import pending_record

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "tests" / "golden" / "protos"
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "log.jsonl").is_file())
HEADERS = {"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "later": b"\x00\xff"}


def log(version: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / version / "log.jsonl").read_text(encoding="utf-8").splitlines()]


# -- recorded logs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_log_of_a_release_ends_in_the_state_that_it_ended_in_then(version: str) -> None:
    corpus = json.loads((HERE / version / "corpus.json").read_text(encoding="utf-8"))
    expected = json.loads((HERE / version / "state.json").read_text(encoding="utf-8"))
    async with replayed(corpus, log(version)) as world:
        assert await state(world) == expected


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_log_that_is_replayed_over_its_own_state_changes_nothing(version: str) -> None:
    corpus = json.loads((HERE / version / "corpus.json").read_text(encoding="utf-8"))
    expected = json.loads((HERE / version / "state.json").read_text(encoding="utf-8"))
    async with replayed(corpus, [*log(version), *reversed(log(version))]) as world:
        after = await state(world)
    assert after["heads"] == expected["heads"]
    assert after["changes"] == expected["changes"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_log_holds_what_its_release_could_say(version: str) -> None:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString((IMAGES / f"{version}.binpb").read_bytes())
    for file in files.file:
        pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("headwater.events.v1.DocumentChange"))
    said = set()
    for line in log(version):
        if line["key"].endswith("/broken"):
            continue
        message = kind.FromString(base64.b64decode(line["value"]))
        assert {field.field_number for field in UnknownFieldSet(message)} <= {1023}
        said.add(message.WhichOneof("change"))
    assert said == {"upsert", "delete", "set_access"}


# -- what nobody knows ------------------------------------------------------------------------------------------------


def from_a_newer_release(world: World, document_id: str = "a", version: int = 2) -> tuple[bytes, bytes]:
    """Key and value of a change of access with more in it than this release can read, inside and outside."""
    event = world.event(document_id, version, SetAccess(("group:later",), 0))
    message = events_pb2.DocumentChange.FromString(encode_change(event))
    message.set_access.MergeFromString(UNKNOWN_FIELD)
    # Not in the order in which this release would write it.
    return key_bytes(event.key), UNKNOWN_FIELD + message.SerializeToString()


async def test_an_event_with_more_in_it_is_read_as_what_is_known_of_it() -> None:
    async with World() as world:
        _, value = from_a_newer_release(world)
        assert decode_change(value).change == SetAccess(("group:later",), 0)


async def test_a_change_that_is_passed_to_the_bulk_lane_arrives_as_it_was_sent() -> None:
    async with World() as world:
        upsert = await world.upsert("a", 1, "One valve.")
        await world.change_log.append(upsert, Lane.BULK)
        live, _ = world.lanes()
        key, value = from_a_newer_release(world)
        await world.stores.ledger.accept(pending_record(upsert))
        await world.stores.log.producer().append(CHANGES_TOPIC, key, value, HEADERS)
        task = asyncio.create_task(live.run())
        try:
            await until(lambda: passed_on(world))
        finally:
            await stop(task)
        reader = world.stores.log.consumer(BULK_CHANGES_TOPIC, "look")
        await reader.start()
        (_, forwarded) = await reader.poll(10, 1.0)
        assert (forwarded.key, forwarded.value, dict(forwarded.headers)) == (key, value, HEADERS)


async def passed_on(world: World) -> bool:
    return len(await world.values(BULK_CHANGES_TOPIC)) == 2


async def test_a_dead_letter_holds_the_event_as_it_was_sent() -> None:
    async with World() as world:
        value = events_pb2.DocumentChange(event_id="e", tenant_id=TENANT, document_id="a", version=1)
        sent = UNKNOWN_FIELD + value.SerializeToString()
        await world.stores.log.producer().append(CHANGES_TOPIC, f"{TENANT}/a".encode(), sent, HEADERS)
        task = asyncio.create_task(world.consumer().run())
        try:
            await until(lambda: refused(world))
        finally:
            await stop(task)
        (letter,) = await world.dead_letters()
        assert (letter.reason, letter.event) == ("MALFORMED_EVENT", sent)


async def refused(world: World) -> bool:
    return bool(await world.dead_letters())


async def test_an_event_that_is_tried_again_keeps_what_nobody_knows() -> None:
    async with World() as world:
        _, value = from_a_newer_release(world)
        again = events_pb2.DocumentChange.FromString(replayed_value(value, 3))
        assert [field.field_number for field in UnknownFieldSet(again)] == [1023]
        assert [field.field_number for field in UnknownFieldSet(again.set_access)] == [1023]


# -- the contract itself ----------------------------------------------------------------------------------------------


def breaking(protos: Path, version: str) -> subprocess.CompletedProcess[str]:
    buf = Path(sys.executable).with_name("buf")
    command = [str(buf), "breaking", str(protos), "--against", str(IMAGES / f"{version}.binpb")]
    return subprocess.run(command, cwd=protos, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_protos_break_no_release(version: str) -> None:
    done = breaking(ROOT, version)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("events", "uint64 version = 4;", "uint64 version = 40;"),
        ("events", "string event_id = 1;", "bytes event_id = 1;"),
        ("ingest", "  rpc DeleteDocument(DeleteDocumentRequest) returns (DeleteDocumentResponse);\n", ""),
        ("ingest", "CHANGE_STATE_SUPERSEDED = 3;", "CHANGE_STATE_OUTDATED = 3;"),
    ],
)
def test_a_change_that_breaks_them_is_noticed(tmp_path: Path, file: str, before: str, after: str) -> None:
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    proto = tmp_path / "protos" / "headwater" / file / "v1" / f"{file}.proto"
    text = proto.read_text(encoding="utf-8")
    assert before in text
    proto.write_text(text.replace(before, after), encoding="utf-8")
    assert breaking(tmp_path, VERSIONS[0]).returncode != 0
