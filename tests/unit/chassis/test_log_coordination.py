"""How members of a group share partitions, without any storage."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chassis.eventlog.coordination import Seat, give_up, sticky_targets, take_seats
from chassis.eventlog.partitioner import partition_of

MEMBERS = [f"m{i}" for i in range(5)]


@given(st.dictionaries(st.integers(0, 11), st.sampled_from([*MEMBERS, None])), st.sets(st.sampled_from(MEMBERS)))
def test_targets_are_even_and_move_as_few_partitions_as_possible(
    previous: dict[int, str | None], live: set[str]
) -> None:
    targets = sticky_targets(previous, live)
    assert targets.keys() == previous.keys()
    if not live:
        assert set(targets.values()) <= {None}
        return
    counts = Counter(targets.values())
    loads = [counts[member] for member in live]
    assert max(loads) - min(loads) <= 1
    assert sum(loads) == len(previous)
    # The most that can stay: each live member keeps up to its quota, larger quotas for those who hold more.
    held = sorted((sum(1 for m in previous.values() if m == member) for member in live), reverse=True)
    share, larger = divmod(len(previous), len(live))
    can_stay = sum(min(count, share + (i < larger)) for i, count in enumerate(held))
    assert sum(1 for i, member in previous.items() if member in live and targets[i] == member) == can_stay


class Group(RuleBasedStateMachine):
    """Members look, give up, die and come back in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.seats = {i: Seat() for i in range(6)}
        self.live: set[str] = set()
        self.history: dict[int, list[tuple[str, int]]] = {i: [] for i in range(6)}

    @rule(member=st.sampled_from(MEMBERS))
    def look(self, member: str) -> None:
        self.live.add(member)
        before = self.seats
        self.seats = take_seats(before, self.live, member)
        for index, seat in self.seats.items():
            owner = before[index].owner
            if owner in self.live:
                assert seat.owner == owner, "a live owner lost its seat without giving it up"
            if seat.owner is not None and seat.owner != owner:
                assert seat.owner == member
                assert all(fence < seat.fence for _, fence in self.history[index])
                self.history[index].append((member, seat.fence))

    @rule(member=st.sampled_from(MEMBERS))
    def release(self, member: str) -> None:
        leaving = {i for i, seat in self.seats.items() if seat.owner == member and seat.target != member}
        self.seats = give_up(self.seats, member, leaving)

    @rule(member=st.sampled_from(MEMBERS))
    def die(self, member: str) -> None:
        self.live.discard(member)

    @invariant()
    def it_settles(self) -> None:
        seats = self.seats
        for _ in range(3):
            for member in self.live:
                seats = take_seats(seats, self.live, member)
                gone = {i for i, seat in seats.items() if seat.owner == member and seat.target != member}
                seats = give_up(seats, member, gone)
        if self.live:
            assert all(seat.owner == seat.target and seat.owner in self.live for seat in seats.values())


TestGroup = Group.TestCase


def test_keys_keep_their_partition_across_releases() -> None:
    assert [partition_of(key, 12) for key in (b"", b"acme/doc", b"\xff" * 40)] == [4, 6, 5]


@given(st.binary(max_size=60), st.integers(1, 100))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
