"""P1: every accepted event is applied, whenever and wherever workers are killed."""

from __future__ import annotations

import random
import time
from collections import Counter

from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.wire import STORES
from tests.chaos.workers import FailPoint, Strike
from tests.chaos.world import SESSION_SECONDS, World
from tests.faults.generator import Event, Source, plan
from tests.faults.nemesis import until

from headwater.stores import AuditReport

PREFIX = "killed"
CUT_STORES = tuple(store for store in STORES if store != "kafka")
REACHED_SECONDS = 40.0
"""So long a worker may take to come to its fail point: its group has to agree first. Then it is killed as it is."""
LAG_SECONDS = 60.0
LEAST_HITS = 5


def play(world: World) -> Figures:
    """Volleys: part of the changes comes in, each worker is killed at a fail point of its own, all start again."""
    scale, dice = world.scale, random.Random(world.seed)
    tenant = world.tenant("p1")
    planned = plan(world.seed, scale.kill_events, scale.kill_documents, prefix=PREFIX)
    volleys = -(-scale.kills // scale.workers)
    points = _in_turn(dice, volleys * scale.workers)
    broker_kills = {volleys * (number + 1) // (scale.broker_kills + 1) for number in range(scale.broker_kills)}
    struck, injected, accepted, unknown = Counter[str](), Counter[str](), [], 0
    for volley in range(volleys):
        source = Source(lambda: world.source(tenant), planned[volley::volleys])
        strikes = [Strike(worker, next(points), PREFIX.encode()) for worker in world.workers]
        world.arm(strikes)
        source.start()
        deadline = time.monotonic() + REACHED_SECONDS
        for strike in strikes:
            if strike.struck.wait(max(deadline - time.monotonic(), 0.0)):
                struck[strike.point.value] += 1
            else:
                struck["anywhere else"] += 1
            strike.worker.end()
        if world.broker is not None and volley in broker_kills:
            world.broker.kill()
            injected["SIGKILL of the broker"] += 1
            world.broker.start()
        else:
            store = dice.choice(CUT_STORES)
            world.wire.inject("cut", store)
            injected[f"connections to {store} cut"] += 1
        world.disarm()
        world.revive()
        source.join(SECONDS)
        accepted += source.accepted
        unknown += source.unknown
        with world.client(tenant) as client:
            # No faster than changes are applied between the kills: work is under way, and not for an hour to come.
            most = len(source.accepted)
            until(lambda most=most: client.ingest_status().pending <= most, 2 * SECONDS, "part of them applied")  # type: ignore[misc]
        world.say(f"volley {volley + 1} of {volleys}, {len(accepted)} changes accepted")
    began = time.monotonic()
    with world.client(tenant) as client:
        until(lambda: client.ingest_status().pending == 0, LAG_SECONDS * scale.slack + SECONDS, "all changes have ends")
        until(lambda: client.ingest_status().lag == 0, SECONDS, "no lag")
        lag_seconds = time.monotonic() - began
        [*_, report] = client.audit_stores(tenant)
    assert isinstance(report, AuditReport)
    return _figures(world, accepted, lag_seconds, report, struck, injected, unknown)


def _figures(
    world: World,
    accepted: list[tuple[Event, str]],
    lag_seconds: float,
    report: AuditReport,
    struck: Counter[str],
    injected: Counter[str],
    unknown: int,
) -> Figures:
    scale = world.scale
    findings = world.check(report.tenant_id, accepted)
    reached = [struck[point.value] for point in FailPoint]
    hit = Mark("fewest kills at one fail point", min(reached), "≥", LEAST_HITS)
    if scale.kills < LEAST_HITS * len(FailPoint):
        hit = Mark("kills at named points", sum(reached), "≥", scale.kills // 2)
    if findings.all:
        world.say(f"differences: { {kind: found[:3] for kind, found in findings.all.items()} }")
    return Figures(
        "P1",
        f"{len(accepted):,} accepted changes of {scale.kill_documents:,} documents, {scale.workers} workers, "
        f"{sum(struck.values())} SIGKILLs",
        (
            Mark("missing", len(findings.missing), "=", 0),
            Mark("extra", len(findings.extra), "=", 0),
            Mark("stale heads", len(findings.stale), "=", 0),
            Mark("changes without a good end", len(findings.open), "=", 0),
            Mark("differences found by the audit", sum(each.count for each in report.found), "=", 0),
            hit,
            Mark("lag 0 after", lag_seconds, "≤", LAG_SECONDS * scale.slack, " s"),
        ),
        {**{f"kill {point}": count for point, count in struck.items()}, **injected},
        {
            "calls of unknown outcome, repeated": str(unknown),
            "sessions of workers": f"{SESSION_SECONDS} s",
            "live and gone documents": f"{findings.live:,} and {findings.gone:,}",
        },
    )


def _in_turn(dice: random.Random, count: int):
    """Fail points, every one about as often."""
    points = [list(FailPoint)[number % len(FailPoint)] for number in range(count)]
    dice.shuffle(points)
    return iter(points)
