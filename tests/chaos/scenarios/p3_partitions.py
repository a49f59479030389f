"""P3: both stores converge, whatever the network did to them; damage is found by number, and mended."""

from __future__ import annotations

import random
import time
from collections import Counter

from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.world import World
from tests.faults.generator import Event, Source, plan
from tests.faults.nemesis import until

from corpus.engines import CorpusStores
from headwater.errors import HeadwaterError
from headwater.stores import AuditReport

HEAL_SECONDS = 120.0
DAMAGED = 50
DOCUMENTS = 60
EVERY_FAULT = ("reset", "black hole", "half open", "slow")


def play(world: World) -> Figures:
    """Each store in turn is behind a bad network while changes come in; then rows vanish behind our back."""
    scale, dice = world.scale, random.Random(world.seed)
    tenant = world.tenant("p3")
    standing = Source(lambda: world.source(tenant), _standing(world.seed))
    standing.start()
    standing.join(SECONDS)
    world.settle(tenant)
    accepted = list(standing.accepted)
    before, slowest, answered, asked = world.wire.injected.copy(), ("", 0.0), 0, 0
    differing = 0
    for store in world.wire.stores:
        faults = scale.faults if len(scale.faults) > 1 else (dice.choice(EVERY_FAULT),)
        for fault in faults:
            source = Source(
                lambda: world.source(tenant),
                plan(dice.randrange(2**32), scale.fault_events, scale.fault_events // 3, prefix=f"{store}-{fault[:5]}"),
            )
            world.wire.inject(fault, store)
            source.start()
            good, all_of_them = _search_for(world, tenant, scale.fault_seconds)
            answered, asked = answered + good, asked + all_of_them
            world.wire.heal()
            seconds, left = _converged(world, tenant, source, accepted)
            differing += left
            slowest = max(slowest, (f"{fault} {store}", seconds), key=lambda each: each[1])
            world.say(f"{fault} of {store}: stores equal {seconds:.1f} s after the heal")
    found, repaired, left_over, wrong_rows = _damage(world, tenant)
    findings = world.check(tenant, accepted)
    return Figures(
        "P3",
        f"{len(accepted):,} changes while each store in turn was behind a bad network for {scale.fault_seconds:.0f} s",
        (
            Mark("differences after the heals", differing, "=", 0),
            Mark("stores equal at the latest after", slowest[1], "≤", HEAL_SECONDS, " s"),
            Mark(f"of {DAMAGED} removed rows the audit reports", found, "=", DAMAGED),
            Mark("of them under the right ids", DAMAGED - wrong_rows, "=", DAMAGED),
            Mark("repaired", repaired, "=", DAMAGED),
            Mark("differences afterwards", left_over + sum(map(len, findings.all.values())), "=", 0),
        ),
        dict(Counter(world.injected_since(before))),
        {"slowest": slowest[0], "searches answered meanwhile": f"{answered} of {asked}"},
    )


def _standing(seed: int) -> list[list[Event]]:
    dice = random.Random(seed)
    return [
        [Event(f"standing-{number:03}", 1, "upsert", f"Notice {dice.getrandbits(40):x}: valve {number}.", ("public",))]
        for number in range(DOCUMENTS)
    ]


def _search_for(world: World, tenant: str, seconds: float) -> tuple[int, int]:
    """Searches that were answered, and all."""
    deadline, good, count = time.monotonic() + seconds, 0, 0
    with world.source(tenant) as client:
        while time.monotonic() < deadline:
            count += 1
            try:
                client.search("valve notice", timeout_seconds=5.0)
                good += 1
            except HeadwaterError:
                pass
            time.sleep(0.2)  # a few searches a second, beside the fault
    return good, count


def _converged(world: World, tenant: str, source: Source, accepted: list[tuple[Event, str]]) -> tuple[float, int]:
    """Seconds from now until the stores hold what was accepted, and differences that were left at the end."""
    began = time.monotonic()
    source.join(SECONDS)
    accepted += source.accepted
    world.settle(tenant, HEAL_SECONDS + SECONDS)
    while (findings := world.check(tenant, accepted)).all and time.monotonic() - began < HEAL_SECONDS:
        time.sleep(1.0)  # a look reads every store whole
    if findings.all:
        world.say(f"differences: { {kind: found[:3] for kind, found in findings.all.items()} }")
    return time.monotonic() - began, sum(map(len, findings.all.values()))


def _damage(world: World, tenant: str) -> tuple[int, int, int, int]:
    """Rows that an audit missed, that a repair mended, differences after it, and rows it named wrongly."""

    async def remove(stores: CorpusStores) -> list[str]:
        active = await stores.generations.active()
        assert active is not None
        named = []
        for head in await stores.heads.list(tenant, limit=10_000, prefix="standing-"):
            named += [each.chunk_id for each in await stores.chunks.chunks_of(head.key, head.version, active.name)]
        lost = random.Random(world.seed).sample(sorted(named), DAMAGED)
        await stores.vectors.delete(active.name, tenant, lost)
        return lost

    lost = world.look(remove)
    with world.client(tenant) as client:
        until(lambda: client.ingest_status().lag == 0, SECONDS, "no lag")
        reports = []
        for repair in (False, True, False):
            [*_, report] = client.audit_stores(tenant, repair=repair)
            assert isinstance(report, AuditReport)
            reports.append(report)
    looked, mended, after = reports
    found = sum(each.count for each in looked.found)
    wrong = len(set(lost) ^ {each.chunk_id for each in looked.differences})
    gone = sum(each.count for each in mended.left)
    return found, sum(each.count for each in mended.found) - gone, sum(each.count for each in after.found), wrong
