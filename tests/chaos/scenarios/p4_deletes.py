"""P4: deletes win and never resurface, through whichever door one looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.figures import Figures, Mark, percentile
from tests.chaos.patience import SECONDS
from tests.chaos.world import World
from tests.faults.nemesis import until

from headwater import Client
from headwater.errors import HeadwaterError, NotFoundError

LATEST_SECONDS = 2.0
ASKED = 5
CALLERS = 4
READERS = ("public",)


def play(world: World) -> Figures:
    """Documents are deleted while updates of them are in flight; older updates come seconds and minutes later."""
    scale = world.scale
    tenant = world.tenant("p4")
    names = [f"gone-{number:03}" for number in range(scale.deleted)]
    with world.client(tenant) as client, world.reader(tenant) as reader:
        for number, name in enumerate(names):
            _put(client, name, number, 10)
        client.wait_until_applied(timeout_seconds=SECONDS)
        until(lambda: _is_found(client, names[-1]), SECONDS, "documents are found before they are deleted")
        answers = [reader.ask(_question(number)) for number in range(ASKED)]
        cited = sum(bool(answer.citations) for answer in answers)
        with ThreadPoolExecutor(CALLERS) as pool:
            times = list(pool.map(lambda number: _delete(world, tenant, names[number], number), range(len(names))))
        resurfaced, looks = 0, 0
        began = time.monotonic()
        for late in scale.late_seconds:
            time.sleep(max(began + late - time.monotonic(), 0.0))  # how late it comes is the case
            for number, name in enumerate(names):
                _put(client, name, number, 19)
            client.wait_until_applied(timeout_seconds=SECONDS)
            again, seen = _resurfaced(reader, names, [answer.answer_id for answer in answers])
            resurfaced, looks = resurfaced + again, looks + seen
        findable = _again(client, names)
    return Figures(
        "P4",
        f"{len(names)} documents deleted with updates in flight; updates of the version before "
        f"{', '.join(f'{late:.0f}' for late in scale.late_seconds)} s later; read through both legs, by id, in lists, "
        f"in new answers, and in replays of {len(answers)} answers given before",
        (
            Mark("resurfaced", resurfaced, "=", 0),
            Mark("delete → invisible p99", percentile(times, 0.99), "≤", LATEST_SECONDS * scale.slack, " s"),
            Mark("created again and found", findable, "=", len(names)),
            Mark("answers that cited what was deleted later", cited, "≥", 1),
        ),
        {"late updates": len(names) * len(scale.late_seconds), "updates in flight": 3 * len(names)},
        {"delete → invisible p50": f"{percentile(times, 0.5):.2f} s", "looks": f"{looks:,}"},
    )


def _text(number: int) -> str:
    return f"The maintenance code of turbine {number} is K{number:03}Q."


def _question(number: int) -> str:
    return f"What is the maintenance code of turbine {number}?"


def _put(client: Client, name: str, number: int, version: int) -> None:
    content = f"{_text(number)} Sheet {version}.".encode()
    client.put_document(name, content, filename="notice.txt", readers=READERS, version=version)


def _is_found(client: Client, name: str) -> bool:
    """Whether a leg finds the document by its own words."""
    text = _text(int(name.rpartition("-")[2]))
    hits = [client.search(text, k=20, legs=[leg]).hits for leg in ("vector", "lexical")]
    return any(hit.document_id == name for found in hits for hit in found)


def _delete(world: World, tenant: str, name: str, number: int) -> float:
    """Seconds from the receipt of a delete until no leg finds the document, while somebody else updates it."""

    def update() -> None:
        with world.client(tenant) as other:
            for version in (12, 15, 18):
                try:
                    _put(other, name, number, version)
                except HeadwaterError:
                    return  # refused: the delete was seen before it

    updates = threading.Thread(target=update)
    updates.start()
    with world.client(tenant) as client:
        client.delete_document(name, version=20)
        began = time.monotonic()
        while _is_found(client, name):
            if time.monotonic() - began > SECONDS:
                break
        seconds = time.monotonic() - began
    updates.join()
    return seconds


def _resurfaced(client: Client, names: Sequence[str], answers: Sequence[str]) -> tuple[int, int]:
    """How often a deleted document is seen, and how often it was looked for."""
    again = looks = 0
    for name in names:
        again += _is_found(client, name)
        try:
            client.get_document(name)
            again += 1
        except NotFoundError:
            pass
        looks += 3
    again += sum(document.document_id in names for document in client.list_documents())
    for number, answer_id in enumerate(answers):
        replayed = client.get_answer(answer_id)
        again += any(citation.readable for citation in replayed.answer.citations)
        again += f"K{number:03}Q" in replayed.answer.text
        asked = client.ask(_question(number))
        again += any(citation.document_id in names for citation in asked.citations)
        looks += 3
    return again, looks + 1


def _again(client: Client, names: Sequence[str]) -> int:
    """Documents that are found again after they were created anew."""
    for number, name in enumerate(names):
        _put(client, name, number, 21)
    client.wait_until_applied(timeout_seconds=SECONDS)
    until(lambda: all(_is_found(client, name) for name in names[-3:]), SECONDS, "documents created again are found")
    return sum(_is_found(client, name) for name in names)
