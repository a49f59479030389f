"""Tier T1 of the guarantees: ingestion in virtual time, with a fault possible at every await of a port."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from structlog.testing import capture_logs
from tests.simulation import KINDS, replay_command
from tests.simulation.histories import Told, history
from tests.simulation.nemesis import Fault
from tests.simulation.virtual_time import run

pytestmark = pytest.mark.timeout(600)  # a block takes two seconds of a core, which others may want as well

BLOCK = 50
HISTORIES = {"History": 1_300, "LaneHistory": 450, "TenantHistory": 250}
"""2,000 in all. ``HEADWATER_HISTORIES`` multiplies them, for a night."""
TIMES = int(os.environ.get("HEADWATER_HISTORIES", "1"))

FAULTS = dict.fromkeys(map(str, Fault), 3)
ALWAYS = {"upsert": 75, "delete": 15, "set_access": 5, "created again": 1, "looks": 1_000, "served": 100}
ENOUGH = {
    "History": {**FAULTS, **ALWAYS, "reordered": 50},
    "LaneHistory": {**FAULTS, **ALWAYS, "created again": 10},
    "TenantHistory": {**FAULTS, **ALWAYS, "tenants deleted": 30, "stood still since before": 5},
}
"""What must come about in every block: histories in which nothing happens prove nothing."""
OFTEN = 400
"""Calls of one method in a block, of which a fault must have struck one at least."""

BLOCKS = [(kind, first) for kind, count in HISTORIES.items() for first in range(1, TIMES * count + 1, BLOCK)]


@pytest.mark.parametrize(("name", "first"), BLOCKS)
def test_whatever_fails_and_whenever_the_stores_hold_what_the_log_says(name: str, first: int) -> None:
    block = [told(name, seed) for seed in range(first, first + BLOCK)]
    seen = sum((each.seen for each in block), Counter[str]())
    missing = {what: seen[what] for what, least in ENOUGH[name].items() if seen[what] < least}
    assert not missing, f"too little happened: {missing}"
    calls, struck = (
        sum(each, Counter[str]()) for each in zip(*((one.calls, one.struck) for one in block), strict=True)
    )
    assert not [method for method, count in calls.items() if count >= OFTEN and not struck[method]]


def told(name: str, seed: int) -> Told:
    try:
        with capture_logs():  # thousands of warnings, as there should be
            return run(history(seed, KINDS[name]))
    except Exception as error:
        pytest.fail(f"{name}, seed {seed}: {error!r}\n{replay_command(name, seed)}", pytrace=False)


@pytest.mark.parametrize("name", KINDS)
def test_a_seed_replays_the_same_faults(name: str) -> None:
    journals = [told(name, seed).journal for seed in (3, 17, 3, 17)]
    assert journals[:2] == journals[2:]
    assert all(journals)
