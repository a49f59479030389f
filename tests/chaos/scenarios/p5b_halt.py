"""P5b: a broken deployment does not drain the topic."""

from __future__ import annotations

import time

from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.world import World
from tests.faults.nemesis import until

BROKEN = {"HEADWATER_INGEST_PARSE_TIMEOUT_SECONDS": "0.000001"}
"""No parser is ever done in time."""
MOST_LETTERS = 100


def play(world: World) -> Figures:
    """A release that can read nothing is rolled out and takes the documents that wait; then its repair."""
    tenant = world.tenant("p5b")
    documents = world.scale.halted
    world.replace_workers(BROKEN)
    try:
        with world.client(tenant) as client:
            began = time.monotonic()
            for number in range(documents):
                text = f"The ferry number {number} leaves at noon."
                client.put_document(f"doc-{number:03}", text.encode(), filename="f.txt", readers=["public"])
            until(lambda: bool(client.ingest_status().halts), SECONDS, "a worker halts")
            seconds = time.monotonic() - began
            halted = len(client.ingest_status().halts)
            until(lambda: client.ingest_status().pending > 0, SECONDS, "documents wait")
            lost = client.ingest_status().change_counts.get("dead_lettered", 0)
    finally:
        world.replace_workers()
    repaired = time.monotonic()
    with world.client(tenant) as client:
        until(lambda: client.ingest_status().pending == 0, SECONDS, "documents that waited are applied")
        converged = time.monotonic() - repaired
        if lost:
            client.replay_dead_letters(tenant=tenant)
            until(lambda: client.ingest_status().pending == 0, SECONDS, "replayed documents are applied")
        counts = client.ingest_status().change_counts
    return Figures(
        "P5b",
        f"{documents} documents in front of {world.scale.workers} workers whose parsers time out at once",
        (
            Mark("halted workers", halted, "≥", 1),
            Mark("dead letters before the halt", lost, "≤", MOST_LETTERS),
            Mark("applied after the repair", counts.get("applied", 0), "=", documents),
        ),
        {"roll-outs": 2},
        {"halted after": f"{seconds:.1f} s", "everything applied after the repair": f"{converged:.1f} s"},
    )
