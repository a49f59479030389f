"""Which offsets may be committed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chassis.eventlog.offsets import ContiguousOffsets
from chassis.eventlog.port import Partition

ONE, OTHER = Partition("t", 0), Partition("t", 1)


@given(
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    started_ahead=st.integers(1, 10),
)
def test_a_commit_never_passes_a_record_that_is_not_done(gaps: list[int], order: object, started_ahead: int) -> None:
    offsets = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    tracked, done, waiting = ContiguousOffsets(), set[int](), list(offsets)
    under_way: list[int] = []
    while waiting or under_way:
        while waiting and len(under_way) < started_ahead:
            under_way.append(waiting.pop(0))
            tracked.start(ONE, under_way[-1])
        finished = under_way.pop(order.randrange(len(under_way)))  # type: ignore[attr-defined]
        tracked.done(ONE, finished)
        done.add(finished)
        end = tracked.committable().get(ONE)
        if end is not None:
            assert all(offset in done for offset in offsets if offset < end)
            assert end > offsets[0]
        # It is the greatest such prefix of what was started.
        open_ones = [offset for offset in offsets if offset not in done and offset not in waiting]
        started = [offset for offset in offsets if offset not in waiting]
        best = min(open_ones) if open_ones else started[-1] + 1
        assert end == (best if best > offsets[0] else None)
    assert tracked.committable() == {ONE: offsets[-1] + 1}
    assert tracked.under_way() == 0


def test_what_is_committed_is_not_offered_again() -> None:
    tracked = ContiguousOffsets()
    for offset in (5, 6):
        tracked.start(ONE, offset)
    tracked.done(ONE, 5)
    tracked.mark_committed(tracked.committable())
    assert tracked.committable() == {}
    tracked.done(ONE, 6)
    assert tracked.committable() == {ONE: 7}


def test_partitions_do_not_wait_for_each_other() -> None:
    tracked = ContiguousOffsets()
    tracked.start(ONE, 0)
    tracked.start(OTHER, 0)
    tracked.done(OTHER, 0)
    assert tracked.committable() == {OTHER: 1}
    assert (tracked.under_way(), tracked.under_way(ONE), tracked.under_way(OTHER)) == (1, 1, 0)


def test_a_revoked_partition_is_forgotten_and_late_results_are_ignored() -> None:
    tracked = ContiguousOffsets()
    tracked.start(ONE, 0)
    tracked.forget([ONE, OTHER])
    tracked.done(ONE, 0)
    assert tracked.committable() == {}
    assert tracked.under_way() == 0


def test_a_record_handed_out_again_holds_the_commit_back_again() -> None:
    tracked = ContiguousOffsets()
    for offset in (0, 1):
        tracked.start(ONE, offset)
        tracked.done(ONE, offset)
    tracked.start(ONE, 0)
    assert tracked.committable() == {}
    tracked.done(ONE, 0)
    assert tracked.committable() == {ONE: 2}
