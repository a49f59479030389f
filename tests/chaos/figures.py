"""What a scenario measured, and whether the promise held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Comparison = Literal["=", "≤", "≥"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One measured value and what it has to be."""

    name: str
    measured: float
    comparison: Comparison
    bound: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        match self.comparison:
            case "=":
                return self.measured == self.bound
            case "≤":
                return self.measured <= self.bound
            case "≥":
                return self.measured >= self.bound

    def __str__(self) -> str:
        bound = f"{self.comparison} {number(self.bound)}{self.unit}"
        return f"{self.name} {number(self.measured)}{self.unit} ({bound}{'' if self.holds else ', MISSED'})"


@dataclass(frozen=True, slots=True)
class Figures:
    """The outcome of one scenario.

    Attributes:
        promise: Its number in docs/guarantees.md.
        did: What was done.
        injected: Faults, by name.
        marks: Everything that the promise is measured by.
        seen: What was measured and has no mark.
        problem: Why the scenario could not be played to its end; empty when it was.
    """

    promise: str
    did: str
    marks: Sequence[Mark] = ()
    injected: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def held(self) -> bool:
        """A scenario that measured nothing has shown nothing."""
        return not self.problem and bool(self.marks) and all(mark.holds for mark in self.marks)

    def summary(self) -> str:
        """Everything in one line."""
        faults = ", ".join(f"{count} × {name}" for name, count in sorted(self.injected.items()) if count)
        parts = [self.problem, self.did, *map(str, self.marks), faults, *[f"{k}: {v}" for k, v in self.seen.items()]]
        return "; ".join(part for part in parts if part)


def number(value: float) -> str:
    """Without digits that mean nothing."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.1f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed. Raises ValueError where there are none."""
    if not values:
        raise ValueError("Nothing was measured.")
    ordered = sorted(values)
    return ordered[max(0, -(-round(len(ordered) * share * 1000) // 1000) - 1)]
