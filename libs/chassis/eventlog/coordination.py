"""Who reads which partition: the part of group membership that needs no I/O.

Every member runs the same function over the shared state, under the store's lock, so no coordinator is needed. A
partition has a *target* (who should read it) and an *owner* (who does). When they differ the owner gives it up first,
and only then the target takes it: a partition never has two owners. An owner that is no longer live loses its seat at
once; its ``fence`` then rises, so that what it still commits is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Seat:
    """One partition of a group."""

    target: str | None = None
    owner: str | None = None
    fence: int = 0


def sticky_targets(previous: Mapping[int, str | None], live: Collection[str]) -> dict[int, str | None]:
    """Spreads partitions evenly over the live members (counts differ by at most one), moving as few as possible."""
    if not live:
        return dict.fromkeys(previous)
    held: dict[str, list[int]] = {member: [] for member in live}
    for index in sorted(previous):
        member = previous[index]
        if member in held:
            held[member].append(index)
    # Who holds most gets the quota that is larger by one, so that fewer partitions move.
    order = sorted(held, key=lambda member: (-len(held[member]), member))
    share, larger = divmod(len(previous), len(order))
    quota = {member: share + (position < larger) for position, member in enumerate(order)}
    targets: dict[int, str | None] = {index: member for member in order for index in held[member][: quota[member]]}
    room = [member for member in order for _ in range(quota[member] - min(len(held[member]), quota[member]))]
    unplaced = [index for index in sorted(previous) if index not in targets]
    targets.update(zip(unplaced, room, strict=True))
    return targets


def take_seats(seats: Mapping[int, Seat], live: Collection[str], me: str) -> dict[int, Seat]:
    """The seats after member ``me`` looked: targets follow the live members, dead owners are gone, ``me`` took what is
    free and its."""
    targets = sticky_targets(
        {
            i: seat.target if seat.target in live else seat.owner if seat.owner in live else None
            for i, seat in seats.items()
        },
        live,
    )
    result = {}
    for index, seat in seats.items():
        after = replace(seat, target=targets[index], owner=seat.owner if seat.owner in live else None)
        if after.owner is None and after.target == me:
            after = replace(after, owner=me, fence=seat.fence + 1)
        result[index] = after
    return result


def give_up(seats: Mapping[int, Seat], me: str, indexes: Collection[int]) -> dict[int, Seat]:
    """The seats after ``me`` left those of ``indexes`` that it owns."""
    return {
        index: replace(seat, owner=None) if index in indexes and seat.owner == me else seat
        for index, seat in seats.items()
    }
