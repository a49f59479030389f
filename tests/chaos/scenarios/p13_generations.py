"""P13: another generation is built beside the one that is searched, promoted and rolled back, under changes."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.world import World
from tests.faults.checker import fold
from tests.faults.generator import Event, Source, plan
from tests.faults.nemesis import until

from headwater import Client

CHUNK_TOKENS = 60
SAMPLE = 30
MOST_LOSS = 0.005
REASON = "played by the chaos run"


def play(world: World) -> Figures:
    """Changes come in all the time, and a worker is killed while the new generation is built."""
    tenant, documents = world.tenant("p13"), world.scale.swapped
    accepted: list[tuple[Event, str]] = []

    def send(prefix: str, count: int) -> Source:
        source = Source(lambda: world.source(tenant), plan(world.seed, 2 * count, count, prefix=prefix))
        source.start()
        return source

    def sent(source: Source) -> None:
        source.join(SECONDS)
        accepted.extend(source.accepted)

    sent(send("standing", documents))
    world.settle(tenant)
    standing = _found_by_their_words([event for event, _ in accepted], world.seed)
    with world.client(tenant) as client:
        until(lambda: _recall(client, standing) == 1.0, SECONDS, "documents are found before the swap")
        old = client.search("pump").generation
        new = client.create_generation(chunk_target_tokens=CHUNK_TOKENS).name
        beside = send("beside", documents // 2)
        world.workers[0].end()
        recalls = [_recall(client, standing)]
        world.revive()
        while client.generation_status().missing or len(recalls) < 3:
            recalls.append(_recall(client, standing))
        sent(beside)
        world.settle(tenant)
        until(lambda: client.generation_status().missing == 0, SECONDS, "nothing is missing in the new generation")
        client.promote_generation(new, force=True, reason=REASON)
        until(lambda: client.search("pump").generation == new, SECONDS, "the new generation is searched")
        after = _recall(client, standing)
        sent(send("late", documents // 2))
        world.settle(tenant)
        back = client.roll_back_generation().name
        until(lambda: client.search("pump").generation == old, SECONDS, "the old generation is searched again")
        late = _recall(client, _found_by_their_words([event for event, _ in accepted], world.seed + 1))
        client.drop_generation(new)
        until(lambda: not client.generation_status().leaving, SECONDS, "the new generation is gone")
        letters = client.ingest_status().change_counts.get("dead_lettered", 0)
    findings = world.check(tenant, accepted)
    return Figures(
        "P13",
        f"a generation with another chunker built under {len(accepted):,} changes, promoted, rolled back and "
        "dropped; a worker killed while it was built",
        (
            Mark("least recall while it was built", min(recalls), "≥", min(1.0, after) - MOST_LOSS),
            Mark("recall after the roll-back, changes made since included", late, "≥", 1.0 - MOST_LOSS),
            Mark("searched as before afterwards", int(back == old), "=", 1),
            Mark("dead letters", letters, "=", 0),
            Mark("differences in the stores", sum(map(len, findings.all.values())), "=", 0),
        ),
        {"SIGKILL": 1},
        {"recall of the new generation": f"{after:.2f}", "measured while it was built": f"{len(recalls)} times"},
    )


def _found_by_their_words(events: Sequence[Event], seed: int) -> list[Event]:
    """The newest contents of some documents that everybody may read."""
    live = [
        each.content for each in fold(events).values() if each.content and "public" in each.readers and not each.level
    ]
    return random.Random(seed).sample(live, min(SAMPLE, len(live)))


def _recall(client: Client, standing: Sequence[Event]) -> float:
    """Share of the documents that are found by their own text."""
    found = 0
    for event in standing:
        found += any(hit.document_id == event.document_id for hit in client.search(event.text, k=5).hits)
    return found / len(standing)
