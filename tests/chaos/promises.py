"""The promises of the guarantees that servers are needed for, and what shows each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos.figures import Figures
from tests.chaos.scenarios import (
    p1_kills,
    p2_stale,
    p3_partitions,
    p4_deletes,
    p5_poison,
    p5b_halt,
    p6_access,
    p10_freshness,
    p13_generations,
    p14_citations,
    p15_rebuild,
)
from tests.chaos.world import World


@dataclass(frozen=True, slots=True)
class Promise:
    """One row of docs/guarantees.md.

    Attributes:
        number: As other pages name it.
        says: The promise.
        mark: What has to be measured.
        play: The scenario.
        elsewhere: Commands that show more of it, which is not measured by ``play``.
    """

    number: str
    says: str
    mark: str
    play: Callable[[World], Figures]
    elsewhere: str = ""


PROMISES: Final = (
    Promise(
        "P1",
        "Every accepted event is applied",
        "0 missing, 0 extra, 0 duplicate; every fail point hit ≥ 5 times; lag 0 within 60 s",
        p1_kills.play,
        "`make test`: simulation, and `tests/e2e/test_kills.py`",
    ),
    Promise(
        "P2",
        "A stale version never overwrites a newer one",
        "0 stale rows served; 0 head regressions sampled every 50 ms",
        p2_stale.play,
        "`make test`: simulation",
    ),
    Promise(
        "P3",
        "Both stores converge",
        "identical id sets ≤ 120 s after heal; audit reports exactly 50 and repairs them",
        p3_partitions.play,
        "answers of 429 and bulk items that fail: `make test-integration`, `tests/contract`",
    ),
    Promise("P4", "Deletes win and never resurface", "0 resurfaced; delete → invisible p99 ≤ 2 s", p4_deletes.play),
    Promise(
        "P5",
        "A poison event never blocks a partition",
        "good throughput ≥ 95 % of clean; each poison in the dead-letter topic exactly once",
        p5_poison.play,
        "parsers that spin, crash or take memory: `make test`, `tests/unit/ingest/test_sandbox.py`; replays: "
        "`tests/e2e/test_dead_letters.py`; more bytes: `make fuzz`",
    ),
    Promise(
        "P5b",
        "A broken deployment does not drain the topic",
        "halts after 100 consecutive rejections or 20 % in a minute at the latest; its repair applies everything",
        p5b_halt.play,
        "`make test`: `tests/e2e/test_halts.py`",
    ),
    Promise(
        "P6",
        "A user never sees what they may not, caches included",
        "0 leaks in hits, titles, counts, errors, logs, spans; revoke → effective p99 ≤ 1 s",
        p6_access.play,
        "`make test`, `make test-integration`: `tests/integration/test_access_programs.py`; `make mutants`",
    ),
    Promise(
        "P10",
        "Freshness",
        "event → searchable p50 ≤ 2 s, p99 ≤ 10 s; live p99 ≤ 30 s during a backfill",
        p10_freshness.play,
    ),
    Promise(
        "P13",
        "Upgrades are reversible",
        "golden event logs replay to the same state, 0 dead letters; recall while a generation is swapped, and back, "
        "≥ min(old, new) − 0.5 points",
        p13_generations.play,
        "golden event logs: `make test`, `tests/unit/ingest/test_event_contract.py`; verdicts and restarts: "
        "`tests/e2e/test_generations.py`",
    ),
    Promise(
        "P14",
        "Every citation resolves to text this user may read",
        "100 % resolve or are removed and flagged",
        p14_citations.play,
        "`make test`: `tests/integration/test_access_programs.py`",
    ),
    Promise(
        "P15",
        "Stores are rebuildable",
        "id sets equal after the rebuild; serving continues degraded",
        p15_rebuild.play,
        "`make test`: `tests/e2e/test_stores.py`",
    ),
)
