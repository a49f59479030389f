"""Tier T1 of docs/guarantees.md: ingestion in virtual time, with a fault possible at every await."""

from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs
from tests.simulation.histories import History, history
from tests.simulation.lane_histories import LaneHistory
from tests.simulation.virtual_time import run

HISTORIES = int(os.environ.get("HEADWATER_HISTORIES", "300"))
FIRST = int(os.environ.get("HEADWATER_FIRST_SEED", "1"))
BLOCK = 50


@pytest.mark.parametrize("kind", [History, LaneHistory])
@pytest.mark.parametrize("first", range(FIRST, FIRST + HISTORIES, BLOCK))
def test_whatever_fails_and_whenever_the_stores_hold_what_the_log_says(first: int, kind: type[History]) -> None:
    for seed in range(first, min(first + BLOCK, FIRST + HISTORIES)):
        try:
            with capture_logs():  # thousands of warnings, as there should be
                run(history(seed, kind))
        except Exception as error:
            pytest.fail(
                f"{kind.__name__}, seed {seed}: {error!r}\nHEADWATER_FIRST_SEED={seed} HEADWATER_HISTORIES=1",
                pytrace=False,
            )


def test_a_seed_replays_the_same_faults() -> None:
    with capture_logs():
        journals = [run(history(seed)) for seed in (3, 17, 3, 17)]
    assert journals[:2] == journals[2:]
    assert all(journals)
