"""Sources of one answer that disagree: the nouns of the stage that looks for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class ConflictKind(StrEnum):
    """What two sources say differently."""

    NUMBER = "number"
    QUANTITY = "quantity"
    DATE = "date"
    TIME = "time"
    RATE = "rate"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two citations of an answer whose quotes give different values of the same thing.

    Attributes:
        citations: Their numbers, the one that the answer rests on first.
        kind: What kind of value it is.
    """

    citations: tuple[int, int]
    kind: ConflictKind


def readable_conflicts(conflicts: Sequence[Conflict], readable: Iterable[int]) -> tuple[Conflict, ...]:
    """Conflicts both of whose citations are among ``readable``: half of one would say that the other exists."""
    known = frozenset(readable)
    return tuple(each for each in conflicts if known.issuperset(each.citations))
