from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import MAX_TIMESTAMP, HybridLogicalClock, ManualClock, SystemClock
from chassis.errors import InvalidRequest


@given(st.lists(st.floats(min_value=-10, max_value=10, allow_nan=False), max_size=30))
def test_timestamps_always_increase_whatever_the_wall_clock_does(steps: list[float]) -> None:
    clock = ManualClock()
    logical = HybridLogicalClock(clock)
    issued = []
    for step in steps:
        clock.step(step)
        issued.append(logical.next())
    assert issued == sorted(set(issued))


def test_timestamps_are_microseconds_of_wall_time_when_nothing_runs_ahead() -> None:
    moment = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
    assert HybridLogicalClock(ManualClock(moment)).next() == int(moment.timestamp()) * 1_000_000 + 123456


def test_nothing_at_or_below_the_persisted_floor_is_issued_again() -> None:
    floor = 4_000_000_000_000_000
    assert HybridLogicalClock(ManualClock(), floor=floor).next() == floor + 1


def test_what_is_issued_after_an_observed_timestamp_is_ordered_after_it() -> None:
    clock = ManualClock()
    logical = HybridLogicalClock(clock)
    seen = logical.next() + 5_000_000
    logical.observe(seen)
    assert logical.next() == seen + 1


def test_a_timestamp_far_in_the_future_is_refused_and_changes_nothing() -> None:
    clock = ManualClock()
    logical = HybridLogicalClock(clock, max_drift_seconds=1)
    before = logical.next()
    with pytest.raises(InvalidRequest) as refused:
        logical.observe(before + 3_600_000_000)
    assert refused.value.reason == "CLOCK_DRIFT"
    assert logical.next() == before + 1


def test_the_clock_refuses_to_leave_the_63_bit_range() -> None:
    with pytest.raises(OverflowError):
        HybridLogicalClock(ManualClock(), floor=MAX_TIMESTAMP).next()


def test_the_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock()
    start, ticks = clock.now(), clock.monotonic()
    clock.advance(1.5)
    assert clock.now() - start == timedelta(seconds=1.5)
    clock.step(-60)
    assert clock.monotonic() - ticks == 1.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


def test_the_system_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
