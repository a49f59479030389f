"""P15: a store that is lost is made again from the others, while everything goes on."""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial
from typing import Literal

from tests.chaos.beside import beside
from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.world import World
from tests.faults.generator import Event, Source, plan

from corpus.engines import CorpusStores
from headwater.errors import HeadwaterError
from headwater.stores import RebuildResult

ANSWERED = 0.99
"""One that is not answered in ten seconds counts, on machines that are busy with other things as well."""
STORES: tuple[Literal["vector", "lexical"], ...] = ("vector", "lexical")


def play(world: World) -> Figures:
    """All rows of one index vanish, then those of the other; each is rebuilt under searches and changes."""
    tenant = world.tenant("p15")
    source = _sent(world, tenant, world.seed, "standing", world.scale.rebuilt)
    source.start()
    source.join(SECONDS)
    world.settle(tenant)
    accepted = list(source.accepted)
    seen, seconds, lost, differing, left = Counter[str](), {}, 0, 0, 0
    for store in STORES:
        lost += world.look(lambda stores, store=store: _empty(stores, tenant, store))  # type: ignore[misc]
        changes = _sent(world, tenant, world.seed + 1, f"beside-{store}", world.scale.rebuilt // 5)
        with beside(partial(_search, world, tenant, seen)):
            changes.start()
            began = time.monotonic()
            with world.client(tenant) as client:
                [*_, result] = client.rebuild_store(tenant, store, drop=True)
            seconds[store] = time.monotonic() - began
            assert isinstance(result, RebuildResult)
            changes.join(SECONDS)
            world.settle(tenant)
        accepted += changes.accepted
        left += sum(each.count for each in result.audit.found)
        findings = world.check(tenant, accepted)
        if findings.all:
            world.say(f"differences: { {kind: found[:3] for kind, found in findings.all.items()} }")
        differing += sum(map(len, findings.all.values()))
    return Figures(
        "P15",
        f"all {lost:,} rows of both indexes removed behind our back, one index after the other, and rebuilt under "
        f"searches and {len(accepted) - len(source.accepted):,} changes",
        (
            Mark("differences in the id sets after the rebuilds", differing, "=", 0),
            Mark("left over, says the audit of the rebuild", left, "=", 0),
            Mark(
                "share of searches answered",
                seen["answered"] / (seen["answered"] + seen["not answered"]),
                "≥",
                ANSWERED,
            ),
            Mark("searches that named the store as missing", seen["flagged"], "≥", 1),
            Mark("rows removed", lost, "≥", 1),
        ),
        {"rows removed": lost},
        {
            "rebuilt in": " and ".join(f"{value:.1f} s ({store})" for store, value in seconds.items()),
            "searches": str(seen["answered"]),
        },
    )


def _sent(world: World, tenant: str, seed: int, prefix: str, documents: int) -> Source:
    planned: list[list[Event]] = plan(seed, 2 * documents, documents, prefix=prefix)
    return Source(lambda: world.source(tenant), planned)


async def _empty(stores: CorpusStores, tenant: str, store: str) -> int:
    """Removes every row, as a disk or an operator might."""
    active = await stores.generations.active()
    assert active is not None
    index = stores.vectors if store == "vector" else stores.lexical
    rows = await index.chunk_ids(active.name, tenant)
    await index.delete(active.name, tenant, list(rows))
    return len(rows)


def _search(world: World, tenant: str, seen: Counter[str], stop: threading.Event) -> None:
    with world.source(tenant) as client:
        while not stop.is_set():
            try:
                found = client.search("notice of the pump")
            except HeadwaterError:
                seen["not answered"] += 1
                continue
            seen["answered"] += 1
            seen["flagged"] += bool(set(found.degraded) & set(STORES))
