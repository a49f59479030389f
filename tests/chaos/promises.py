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
        elsewhere: Commands that show (more of) it; what they show is not measured by ``play``.
        play: The scenario; None where it is shown elsewhere alone.
    """

    number: str
    says: str
    mark: str
    elsewhere: str = ""
    play: Callable[[World], Figures] | None = None


PROMISES: Final = (
    Promise(
        "P1",
        "Every accepted event is applied",
        "0 missing, 0 extra, 0 duplicate; every fail point hit ≥ 5 times; lag 0 within 60 s",
        "`make test`: simulation, and `tests/e2e/test_kills.py`",
        p1_kills.play,
    ),
    Promise(
        "P2",
        "A stale version never overwrites a newer one",
        "0 stale rows served; 0 head regressions sampled every 50 ms",
        "`make test`: simulation",
        p2_stale.play,
    ),
    Promise(
        "P3",
        "Both stores converge",
        "identical id sets ≤ 120 s after heal; audit reports exactly 50 and repairs them",
        "answers of 429 and bulk items that fail: `make test-integration`, `tests/contract`",
        p3_partitions.play,
    ),
    Promise("P4", "Deletes win and never resurface", "0 resurfaced; delete → invisible p99 ≤ 2 s", "", p4_deletes.play),
    Promise(
        "P5",
        "A poison event never blocks a partition",
        "good throughput ≥ 95 % of clean; each poison in the dead-letter topic exactly once",
        "parsers that spin, crash or take memory: `make test`, `tests/unit/ingest/test_sandbox.py`; replays: "
        "`tests/e2e/test_dead_letters.py`; more bytes: `make fuzz`",
        p5_poison.play,
    ),
    Promise(
        "P5b",
        "A broken deployment does not drain the topic",
        "halts after 100 consecutive rejections or 20 % in a minute at the latest; its repair applies everything",
        "`make test`: `tests/e2e/test_halts.py`",
        p5b_halt.play,
    ),
    Promise(
        "P6",
        "A user never sees what they may not, caches included",
        "0 leaks in hits, titles, counts, errors, logs, spans; revoke → effective p99 ≤ 1 s",
        "`make test`, `make test-integration`: `tests/integration/test_access_programs.py`; `make mutants`",
        p6_access.play,
    ),
    Promise(
        "P10",
        "Freshness",
        "event → searchable p50 ≤ 2 s, p99 ≤ 10 s; live p99 ≤ 30 s during a backfill",
        "",
        p10_freshness.play,
    ),
    Promise(
        "P13",
        "Upgrades are reversible",
        "golden event logs of all releases replay to the same state, 0 dead letters; a generation is swapped and "
        "swapped back under traffic",
        "`make test`: `tests/unit/ingest/test_event_contract.py`, `tests/e2e/test_generations.py`",
    ),
    Promise(
        "P14",
        "Every citation resolves to text this user may read",
        "100 % resolve or are removed and flagged",
        "`make test`: `tests/integration/test_access_programs.py`",
        p14_citations.play,
    ),
    Promise(
        "P15",
        "Stores are rebuildable",
        "id sets equal after the rebuild; serving continues degraded",
        "`make test`: `tests/e2e/test_stores.py`",
        p15_rebuild.play,
    ),
)
