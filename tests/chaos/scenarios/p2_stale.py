"""P2: a stale version never overwrites a newer one, nor is served after it."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.chaos.beside import beside
from tests.chaos.figures import Figures, Mark
from tests.chaos.patience import SECONDS
from tests.chaos.workers import FailPoint, Strike
from tests.chaos.world import SESSION_SECONDS, World
from tests.e2e.installation import with_stores
from tests.faults.generator import Event, Source

from chassis.eventlog.port import EventLog
from corpus.engines import CorpusStores
from headwater.errors import HeadwaterError
from ingest.codec import CHANGES_TOPIC

PREFIX = "stale"
DUPLICATES = 0.3
EVERY_SECONDS = 0.05
BEHIND_SECONDS = 1.0
"""A replica may be half a second behind; the other half is for the clocks of this test."""
REACHED_SECONDS = 120.0
REPLAYS = 2


def play(world: World) -> Figures:
    """Versions come in any order and more than once, one worker stands still past its session with a document in its
    hands, and the whole log is delivered twice more while newer versions come."""
    scale = world.scale
    tenant = world.tenant("p2")
    names = [f"{PREFIX}-{number:04}" for number in range(scale.stale_documents)]
    onlooker = Onlooker(world, tenant, names)
    with beside(onlooker.heads, onlooker.search):
        first = _sent(world, tenant, names, range(1, scale.stale_versions + 1))
        struck = threading.Event()
        # Whichever worker is the first to have a document in its hands.
        strikes = [
            Strike(worker, FailPoint.AFTER_EMBED, PREFIX.encode(), signal.SIGSTOP, struck) for worker in world.workers
        ]
        world.arm(strikes)
        first.start()
        stood_still = struck.wait(REACHED_SECONDS)
        began = time.monotonic()
        first.join(SECONDS)
        second = _sent(world, tenant, names, range(scale.stale_versions + 1, 2 * scale.stale_versions + 1))
        second.start()
        second.join(SECONDS)
        # While it stands still others take over its partitions, and newer versions are applied.
        time.sleep(max(scale.zombie_seconds - (time.monotonic() - began), 0.0))  # past its session
        world.disarm()
        for strike in strikes:
            if strike.is_hit:
                strike.worker.send(signal.SIGCONT)
        third = _sent(world, tenant, names, range(2 * scale.stale_versions + 1, 2 * scale.stale_versions + 3))
        third.start()
        replayed = sum(world.log(lambda log: _replay(log, tenant)) for _ in range(REPLAYS))
        third.join(SECONDS)
        world.settle(tenant)
    accepted = [*first.accepted, *second.accepted, *third.accepted]
    findings = world.check(tenant, accepted)
    return Figures(
        "P2",
        f"{len(accepted):,} changes of {len(names)} documents in random order, {DUPLICATES:.0%} twice; one worker "
        f"stopped for {scale.zombie_seconds:.0f} s (session {SESSION_SECONDS} s) with a vector in its hands; the log's "
        f"records delivered {REPLAYS} times more beside live changes",
        (
            Mark("stale rows served", onlooker.stale, "=", 0),
            Mark("heads that went back", onlooker.regressions, "=", 0),
            Mark("differences in the stores", sum(map(len, findings.all.values())), "=", 0),
            Mark("workers that stood still", int(stood_still), "=", 1),
            Mark("hits looked at", onlooker.hits, "≥", 1),
        ),
        {"SIGSTOP": int(stood_still), "records delivered again": replayed},
        {"looks at all heads": f"{onlooker.looks:,}", "searches": f"{onlooker.searches:,}"},
    )


def _sent(world: World, tenant: str, names: Sequence[str], versions: range) -> Source:
    """Each document's versions, late by any number of them, some twice; the last one is there always."""
    dice = random.Random(f"{world.seed}/{versions.start}")
    planned = []
    for name in names:
        events = [_event(dice, name, version) for version in versions]
        events += [event for event in events if dice.random() < DUPLICATES]
        dice.shuffle(events)
        planned.append(events)
    return Source(lambda: world.source(tenant), planned)


def _event(dice: random.Random, name: str, version: int) -> Event:
    if dice.random() < 0.15:
        return Event(name, version, "delete")
    return Event(name, version, "upsert", f"Notice {dice.getrandbits(40):010x} of {name}: pump {version}.", ("public",))


async def _replay(log: EventLog, tenant: str) -> int:
    """Appends every record of the tenant again, as it is."""
    reader, producer = log.reader(CHANGES_TOPIC), log.producer()
    await reader.start()
    ends, records = await reader.behind(), []
    async with asyncio.timeout(SECONDS):
        while ends > 0:
            found = await reader.poll(500, 1.0)
            ends -= len(found)
            records += [record for record in found if record.key.startswith(tenant.encode() + b"/")]
    await asyncio.gather(*(producer.append(CHANGES_TOPIC, each.key, each.value, each.headers) for each in records))
    return len(records)


@dataclass
class Onlooker:
    """Reads all heads every 50 ms, and searches all the time."""

    world: World
    tenant: str
    names: Sequence[str]
    regressions: int = 0
    stale: int = 0
    looks: int = 0
    searches: int = 0
    hits: int = 0
    _seen: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def heads(self, stop: threading.Event) -> None:
        """Notes when each version was seen first, and every step back."""
        look = partial(self._heads, stop)
        asyncio.run(with_stores(self.world.folder / "look", self.world.direct, look))

    async def _heads(self, stop: threading.Event, stores: CorpusStores) -> None:
        while not stop.is_set():
            heads = await stores.heads.get_many(self.tenant, self.names)
            now = time.monotonic()
            self.looks += 1
            for name, head in heads.items():
                seen = self._seen[name]
                if not seen or head.version > seen[-1][1]:
                    seen.append((now, head.version))
                elif head.version < seen[-1][1]:
                    self.regressions += 1
            await asyncio.sleep(EVERY_SECONDS)

    def search(self, stop: threading.Event) -> None:
        """Counts hits whose version was known to be superseded."""
        with self.world.source(self.tenant) as client:
            while not stop.is_set():
                floor = time.monotonic() - BEHIND_SECONDS
                try:
                    found = client.search("notice of the pump", k=50)
                except HeadwaterError:
                    continue  # no answer is no stale one
                self.searches += 1
                for hit in found.hits:
                    self.hits += 1
                    seen = self._seen.get(hit.document_id, [])
                    known = bisect_right(seen, floor, key=lambda each: each[0])
                    self.stale += bool(known) and hit.document_version < seen[known - 1][1]
