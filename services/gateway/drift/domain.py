"""Nouns of drift: signals, their reference, and how far a window is from it. Numbers alone, no text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import log
from typing import Final

BINS: Final = 10
MODERATE: Final = 0.1
LARGE: Final = 0.25
"""Conventional thresholds of the population stability index: below the first nothing has happened, above the second
the population is another one."""
_SMOOTHED: Final = 0.5
"""Added to every bin, so that an empty one is no infinity."""

RATES: Final = ("abstained", "cited", "empty", "cached", "refused")
"""Signals that are 0 or 1."""
FORMAT: Final = 1


class DriftState(StrEnum):
    """What an index means."""

    STABLE = "stable"
    MODERATE = "moderate"
    LARGE = "large"
    UNKNOWN = "unknown"
    """Too few values as yet."""


@dataclass(frozen=True, slots=True)
class SignalReference:
    """One signal over the reference.

    Attributes:
        edges: Ascending bounds between bins; a value on one belongs to the bin above it.
        counts: Values in each bin, one more than edges.
        mean: Of the values.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float

    @classmethod
    def of(cls, values: Sequence[float], *, rate: bool = False) -> SignalReference:
        """Bins with about as many of the values each: deciles, those that fall together once. Of few different values,
        and of a rate, each has its own bin."""
        ordered = sorted(values)
        different = sorted(set(ordered))
        if rate:
            edges: tuple[float, ...] = (0.5,)
        elif len(different) <= BINS:
            edges = tuple(different[1:])
        else:
            cuts = {ordered[len(ordered) * part // BINS] for part in range(1, BINS)}
            edges = tuple(sorted(cuts - {ordered[0]}))
        counts = [0] * (len(edges) + 1)
        for value in ordered:
            counts[bisect_right(edges, value)] += 1
        return cls(edges, tuple(counts), sum(ordered) / len(ordered))

    def place(self, value: float) -> int:
        """The bin of a value."""
        return bisect_right(self.edges, value)


@dataclass(frozen=True, slots=True)
class Reference:
    """What is compared with: each signal's distribution over ``answers`` answers.

    Attributes:
        centroid: Mean of the questions' vectors, L2-normalised; empty where there were too few.
    """

    taken_at: datetime
    answers: int
    signals: Mapping[str, SignalReference]
    centroid: tuple[float, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class SignalDrift:
    """One signal now against its reference.

    Attributes:
        index: Population stability index; None while there are too few values.
        chance: What it is on average when nothing has changed: (bins − 1) · (1/n + 1/m).
        reference, now: Means; of rates, shares.
        values: In the window.
    """

    signal: str
    index: float | None
    chance: float
    reference: float
    now: float
    values: int

    @property
    def state(self) -> DriftState:
        """What the index means; one that chance may bring about (twice its average) means nothing."""
        if self.index is None:
            return DriftState.UNKNOWN
        if self.index < max(MODERATE, 2 * self.chance):
            return DriftState.STABLE
        return DriftState.MODERATE if self.index < LARGE else DriftState.LARGE


@dataclass(frozen=True, slots=True)
class DriftReport:
    """All signals, and what they rest on. ``taken_at`` is None while there is no reference."""

    taken_at: datetime | None
    reference_answers: int
    window_answers: int
    window: int
    signals: tuple[SignalDrift, ...]


def stability_index(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The population stability index of two counts over the same bins: Σ (aᵢ − eᵢ) · ln(aᵢ / eᵢ) of their shares.

    As in N. Siddiqi, Credit Risk Scorecards, Wiley 2006, whose thresholds .1 and .25 are the usual ones; the sum is the
    symmetric divergence of H. Jeffreys, 1946. Without drift it is about (bins − 1) · (1/n + 1/m) (B. Yurdakul,
    Statistical Properties of Population Stability Index, 2018), so small windows can't be judged by the thresholds.
    Half an observation is added to every bin.
    """
    bins = len(expected)
    shares = [
        [(count + _SMOOTHED) / (sum(counts) + _SMOOTHED * bins) for count in counts] for counts in (expected, actual)
    ]
    return float(sum((a - e) * log(a / e) for e, a in zip(*shares, strict=True)))
