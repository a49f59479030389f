"""P14: every citation resolves to text that its reader may read, or is taken out and flagged."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from tests.chaos.beside import beside
from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.world import World
from tests.faults.nemesis import until

from headwater import Answer, Client
from headwater.errors import HeadwaterError, NotFoundError

DOCUMENTS = 10
MARGIN_SECONDS = 1.0
"""A revocation counts from when it was reported as applied; a replica may be half a second behind."""
CALLERS = 2


@dataclass
class Documents:
    """What is done to the documents, and when their reader could not read them."""

    hidden: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Spans in which a document was surely hidden."""
    changes: int = 0

    def was_hidden(self, name: str, since: float, until_: float) -> bool:
        """All the time."""
        return any(began <= since and until_ <= ended for began, ended in list(self.hidden[name]))


def play(world: World) -> Figures:
    """Questions are asked while documents are deleted, hidden and brought back; all answers are read again after."""
    tenant, documents = world.tenant("p14"), Documents()
    names = [f"sheet-{number}" for number in range(DOCUMENTS)]
    with world.client(tenant) as writer:
        for number, name in enumerate(names):
            _put(writer, name, number)
        writer.wait_until_applied(timeout_seconds=SECONDS)
        with world.reader(tenant, "ann") as reader:
            until(lambda: bool(reader.ask(_question(DOCUMENTS - 1)).citations), SECONDS, "answers cite something")
        asked: list[tuple[float, float, Answer]] = []
        with beside(partial(_change, world, tenant, names, documents)), ThreadPoolExecutor(CALLERS) as pool:
            for asking in [pool.submit(_ask, world, tenant, share, asked) for share in range(CALLERS)]:
                asking.result()
        gone = names[::2]
        for number, name in enumerate(gone):
            if number % 2:
                writer.delete_document(name)
            else:
                writer.set_document_access(name, [])
        writer.wait_until_applied(timeout_seconds=SECONDS)
    time.sleep(MARGIN_SECONDS)  # a replica may be behind for so long, as is promised
    return _figures(world, tenant, documents, asked)


def _figures(world: World, tenant: str, documents: Documents, asked: list[tuple[float, float, Answer]]) -> Figures:
    cited = unresolved = leaked = 0
    for began, ended, answer in asked:
        for citation in answer.citations:
            cited += 1
            number = int(citation.document_id.rpartition("-")[2])
            unresolved += not citation.quote or citation.quote.strip() not in _text(number)
            leaked += documents.was_hidden(citation.document_id, began - MARGIN_SECONDS, ended)
    readable = flagged = wrong = 0
    with world.reader(tenant, "ann") as reader:
        for _, _, answer in asked:
            replayed = reader.get_answer(answer.answer_id)
            taken = False
            for citation in replayed.answer.citations:
                if citation.readable:
                    readable += 1
                    wrong += not _resolves(reader, citation.document_id)
                else:
                    flagged, taken = flagged + 1, True
                    wrong += bool(citation.quote)
            wrong += taken and not replayed.redacted
    return Figures(
        "P14",
        f"{len(asked)} questions, {documents.changes} deletes, revocations and returns of the {DOCUMENTS} documents "
        f"they are about, meanwhile; then every answer read again after half of the documents were gone for good",
        (
            Mark("citations that don't resolve", unresolved, "=", 0),
            Mark("citations of what was hidden all the time", leaked, "=", 0),
            Mark("replayed citations neither readable nor flagged", wrong, "=", 0),
            Mark("citations", cited, "≥", 1),
            Mark("flagged in replays", flagged, "≥", 1),
        ),
        {"changes while questions were answered": documents.changes},
        {"citations still readable in replays": str(readable)},
    )


def _text(number: int) -> str:
    return f"The maintenance code of compressor {number} is C{number:03}Z."


def _question(number: int) -> str:
    return f"What is the maintenance code of compressor {number}?"


def _put(client: Client, name: str, number: int) -> None:
    client.put_document(name, _text(number).encode(), filename="a.txt", readers=["user:ann"])


def _ask(world: World, tenant: str, share: int, asked: list[tuple[float, float, Answer]]) -> None:
    dice = random.Random(world.seed * CALLERS + share)
    with world.reader(tenant, "ann") as client:
        for _ in range(-(-world.scale.questions // CALLERS)):
            began = time.monotonic()
            try:
                answer = client.ask(_question(dice.randrange(DOCUMENTS)))
            except HeadwaterError:
                continue
            asked.append((began, time.monotonic(), answer))


def _change(world: World, tenant: str, names: list[str], documents: Documents, stop: threading.Event) -> None:
    """Deletes a document or takes its reader away, and gives it back."""
    dice = random.Random(world.seed)
    with world.client(tenant) as client:
        while not stop.is_set():
            number = dice.randrange(len(names))
            name = names[number]
            if dice.random() < 0.5:
                client.delete_document(name)
            else:
                client.set_document_access(name, ["user:bob"])
            client.wait_until_applied(timeout_seconds=SECONDS)
            hidden = time.monotonic()
            stop.wait(dice.uniform(0.0, 2 * MARGIN_SECONDS))
            documents.hidden[name].append((hidden, time.monotonic()))
            _put(client, name, number)
            client.wait_until_applied(timeout_seconds=SECONDS)
            documents.changes += 2


def _resolves(reader: Client, name: str) -> bool:
    try:
        return bool(reader.get_document(name).version)
    except NotFoundError:
        return False
