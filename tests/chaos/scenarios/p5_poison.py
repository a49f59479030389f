"""P5: a poison event never blocks a partition, and is in the dead-letter topic exactly once."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.world import MOST_CHUNKS, World
from tests.e2e.test_bad_input import BAD_DOCUMENTS
from tests.faults.nemesis import until

from chassis.eventlog.port import EventLog
from headwater import Client
from headwater.events.v1 import events_pb2
from ingest.codec import CHANGES_TOPIC, DEAD_LETTERS_TOPIC

BLOCKS = 4
"""Without poison and with it in turns, so that both see the same machine."""


@dataclass
class Poison:
    """What was put among the good documents.

    Attributes:
        documents: Event id to what is wrong with it.
        records: (partition, offset) of a record that is no change, to the same.
    """

    documents: dict[str, str] = field(default_factory=dict)
    records: dict[tuple[int, int], str] = field(default_factory=dict)


def play(world: World) -> Figures:
    """Good documents in blocks, every other one with poison of many kinds in between."""
    scale, dice = world.scale, random.Random(world.seed)
    tenant, poison = world.tenant("p5"), Poison()
    speeds: dict[bool, list[float]] = {True: [], False: []}
    for block in range(BLOCKS):
        poisoned = block % 2 == 1
        speeds[poisoned].append(_block(world, tenant, block, poison if poisoned else None, dice))
    clean, beside = (sum(each) / len(each) for each in (speeds[False], speeds[True]))
    wanted = len(poison.documents) + len(poison.records)
    letters: list[events_pb2.DeadLetter] = []

    def all_are_there() -> bool:
        letters[:] = world.log(_letters)
        return len(_of_poison(letters, poison)) >= wanted

    until(all_are_there, SECONDS, f"{wanted} dead letters")
    copies = _of_poison(letters, poison)
    kinds = sorted({*poison.documents.values(), *poison.records.values()})
    with world.client(tenant) as client:
        applied = client.ingest_status().change_counts.get("applied", 0)
    return Figures(
        "P5",
        f"{BLOCKS * scale.good_documents:,} good documents, {wanted} bad records of {len(kinds)} kinds: "
        f"{', '.join(kinds)}",
        (
            Mark("throughput beside poison, of that without", beside / clean, "≥", scale.least_ratio),
            Mark("bad records with exactly one letter", sum(len(each) == 1 for each in copies.values()), "=", wanted),
            Mark("letters that lack something", sum(_lacks(each) for all_ in copies.values() for each in all_), "=", 0),
            Mark("good documents applied", applied, "=", BLOCKS * scale.good_documents),
        ),
        {"bad documents": len(poison.documents), "records that are no change": len(poison.records)},
        {"good documents per second, without and beside poison": f"{clean:.1f} and {beside:.1f}"},
    )


def _block(world: World, tenant: str, block: int, poison: Poison | None, dice: random.Random) -> float:
    """Good documents that were applied per second."""
    count = world.scale.good_documents
    bad: list[str | None] = [None] * count
    if poison is not None:
        kinds = [*_DOCUMENTS, *_RECORDS]
        for turn in range(max(round(count * world.scale.poison_share), 1)):
            bad[dice.randrange(count)] = kinds[(turn + block // 2 * count) % len(kinds)]
    began, good = time.monotonic(), []
    with world.client(tenant) as client:
        for number in range(count):
            kind = bad[number]
            if poison is not None and kind is not None:
                _put_bad(world, client, f"bad-{block}-{number}", kind, poison)
            text = f"Notice {dice.getrandbits(40):x}: filter {number} of block {block} is clean."
            receipt = client.put_document(f"good-{block}-{number}", text.encode(), filename="a.txt", readers=["public"])
            good.append(receipt.event_id)
        client.wait_for_changes(good, timeout_seconds=SECONDS)
    return count / (time.monotonic() - began)


def _put_bad(world: World, client: Client, name: str, kind: str, poison: Poison) -> None:
    if kind in _DOCUMENTS:
        filename, content = _DOCUMENTS[kind]
        receipt = client.put_document(name, content, filename=filename, readers=["public"])
        poison.documents[receipt.event_id] = kind
        return

    async def append(log: EventLog) -> tuple[int, int]:
        key, value = _RECORDS[kind]()
        position = await log.producer().append(CHANGES_TOPIC, key, value)
        return position.partition.index, position.offset

    poison.records[world.log(append)] = kind


async def _letters(log: EventLog) -> list[events_pb2.DeadLetter]:
    """Everything that is in the dead-letter topic."""
    reader = log.reader(DEAD_LETTERS_TOPIC)
    await reader.start()
    found = []
    async with asyncio.timeout(SECONDS):
        while await reader.behind() > 0:
            found += [events_pb2.DeadLetter.FromString(each.value or b"") for each in await reader.poll(500, 1.0)]
    return found


def _of_poison(
    letters: Sequence[events_pb2.DeadLetter], poison: Poison
) -> Mapping[object, Sequence[events_pb2.DeadLetter]]:
    """Letters by what they are of."""
    found: dict[object, list[events_pb2.DeadLetter]] = {}
    for letter in letters:
        where = (letter.partition, letter.offset)
        key: object = letter.event_id if letter.event_id in poison.documents else where
        if key in poison.documents or (key in poison.records and letter.topic == CHANGES_TOPIC):
            found.setdefault(key, []).append(letter)
    return found


def _lacks(letter: events_pb2.DeadLetter) -> bool:
    return not (letter.topic and letter.offset >= 0 and letter.reason and letter.attempts >= 1 and letter.trace_id)


_WORDS = " ".join(f"word{number % 97}" for number in range(MOST_CHUNKS * 400))
_DOCUMENTS: Mapping[str, tuple[str, bytes]] = {
    "random bytes in a PDF": ("unreadable.pdf", BAD_DOCUMENTS["unreadable.pdf"][0]),
    "encrypted PDF": ("encrypted.pdf", BAD_DOCUMENTS["encrypted.pdf"][0]),
    "zip bomb": ("bomb.docx", BAD_DOCUMENTS["bomb.docx"][0]),
    "unknown format": ("rubbish.xyz", BAD_DOCUMENTS["rubbish.xyz"][0]),
    "blank text": ("blank.txt", BAD_DOCUMENTS["blank.txt"][0]),
    "too many chunks": ("long.txt", _WORDS.encode()),
    "no zip under the name of one": ("torn.docx", b"PK\x03\x04" + bytes(range(256)) * 8),
}
_RECORDS: Mapping[str, Callable[[], tuple[bytes, bytes | None]]] = {
    "random bytes": lambda: (uuid.uuid4().bytes, b"\xff\x00" + uuid.uuid4().bytes),
    "no bytes": lambda: (uuid.uuid4().bytes, b""),
    "null value": lambda: (uuid.uuid4().bytes, None),
    "empty key": lambda: (b"", b"\x0a\x24" + uuid.uuid4().hex.encode()),
    "truncated protobuf": lambda: (uuid.uuid4().bytes, b"\x0a\x24" + uuid.uuid4().hex[:20].encode()),
    "invalid UTF-8": lambda: (uuid.uuid4().bytes, b"\x0a\x04\xff\xfe\xfd\xfc"),
}
