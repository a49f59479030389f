"""Tier T1 of the guarantees: ingestion's own code over memory adapters, in virtual time, faults from a seed."""

from __future__ import annotations

from tests.simulation.histories import History
from tests.simulation.lane_histories import LaneHistory
from tests.simulation.replica_histories import ReplicaHistory, ReplicaLaneHistory
from tests.simulation.tenant_histories import TenantHistory

KINDS: dict[str, type[History]] = {
    each.__name__: each for each in (History, LaneHistory, TenantHistory, ReplicaHistory, ReplicaLaneHistory)
}


def replay_command(kind: str, seed: int) -> str:
    """What shows one history again."""
    return f".venv/bin/python -m tests.simulation {kind} {seed}"
