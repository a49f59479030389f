"""How much of everything: the figures of the guarantees, and a short form that fits into a test run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts and times of all scenarios.

    Attributes:
        workers: Worker processes.
        kill_documents, kill_events, kills: P1. Kills come in volleys, one of each worker.
        broker_kills: Of the event log's broker, in P1.
        stale_documents, stale_versions, zombie_seconds: P2.
        faults, fault_seconds, fault_events: P3: which faults each store gets, for how long, and how many changes come
            in meanwhile.
        deleted, late_seconds: P4: documents, and when late updates of them come.
        good_documents, poison_share, least_ratio: P5: documents per block; least throughput beside poison, as a share
            of that without.
        halted: P5b: documents.
        revoked, programs: P6: documents; random access programs.
        fresh, fresh_every_seconds, backfill: P10: live documents, and documents of the backfill.
        swapped: P13: documents.
        questions: P14.
        rebuilt: P15: documents.
        slack: How much longer than in the guarantees something may take: the short form shares its cores with other
            tests.
    """

    name: str
    workers: int
    kill_documents: int
    kill_events: int
    kills: int
    broker_kills: int
    stale_documents: int
    stale_versions: int
    zombie_seconds: float
    faults: tuple[str, ...]
    fault_seconds: float
    fault_events: int
    deleted: int
    late_seconds: tuple[float, ...]
    good_documents: int
    poison_share: float
    least_ratio: float
    halted: int
    revoked: int
    programs: int
    fresh: int
    fresh_every_seconds: float
    backfill: int
    swapped: int
    questions: int
    rebuilt: int
    slack: float


FULL: Final = Scale(
    name="full",
    workers=4,
    kill_documents=2_000,
    kill_events=10_000,
    kills=100,
    broker_kills=3,
    stale_documents=150,
    stale_versions=20,
    zombie_seconds=65.0,
    faults=("reset", "black hole", "half open", "slow"),
    fault_seconds=10.0,
    fault_events=120,
    deleted=120,
    late_seconds=(1.0, 59.0, 61.0),
    good_documents=600,
    poison_share=0.01,
    least_ratio=0.95,
    halted=150,
    revoked=120,
    programs=4,
    fresh=150,
    fresh_every_seconds=0.4,
    backfill=600,
    swapped=300,
    questions=150,
    rebuilt=300,
    slack=1.0,
)

SHORT: Final = Scale(
    name="short",
    workers=3,
    kill_documents=60,
    kill_events=300,
    kills=9,
    broker_kills=1,
    stale_documents=12,
    stale_versions=8,
    zombie_seconds=12.0,
    faults=("half open",),
    fault_seconds=3.0,
    fault_events=24,
    deleted=12,
    late_seconds=(1.0,),
    good_documents=60,
    poison_share=0.1,
    least_ratio=0.3,
    halted=30,
    revoked=15,
    programs=0,
    fresh=20,
    fresh_every_seconds=0.4,
    backfill=60,
    swapped=24,
    questions=15,
    rebuilt=30,
    slack=5.0,
)

SCALES: Final = {scale.name: scale for scale in (FULL, SHORT)}
