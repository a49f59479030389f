"""Whether an evaluation run may pass: its floors, and no significant loss against the committed baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from eval.golden_set import EVAL_DIRECTORY
from eval.measures import MEASURES, Result
from scipy.stats import bootstrap  # type: ignore[import-untyped]

BASELINE: Final = EVAL_DIRECTORY / "baseline.json"
RESAMPLES: Final = 10_000
CONFIDENCE: Final = 0.95
LEAST_LOSS: Final = 0.005
"""A smaller one is arithmetic: processors round differently."""


@dataclass(frozen=True, slots=True)
class Change:
    """Mean difference to the baseline over the questions both have, with the interval that a paired bootstrap (Efron
    and Tibshirani 1993) puts it in."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    @property
    def is_loss(self) -> bool:
        """Significant, at ``CONFIDENCE``, and worth a word."""
        return self.high < 0 and self.mean < -LEAST_LOSS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run.

    Attributes:
        below: Measures under their floor, or with one and without a question.
        lost: Measures significantly worse than the baseline.
        missing: Questions of the baseline that were not asked.
    """

    means: Mapping[str, float]
    changes: Mapping[str, Change]
    below: Sequence[str]
    lost: Sequence[str]
    missing: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether CI may go on."""
        return not (self.below or self.lost or self.missing)


def judge(results: Sequence[Result], baseline: Mapping[str, Mapping[str, float]] | None) -> Verdict:
    """Judges a run. ``baseline``: values by question, None where there is none yet."""
    means = {name: float(np.mean(values)) for name in MEASURES if (values := _values(results, name))}
    changes = {}
    for name in means:
        if MEASURES[name].gates and baseline is not None:
            pairs = [
                each.values[name] - before[name]
                for each in results
                if name in each.values and name in (before := baseline.get(each.case_id, {}))
            ]
            if pairs:
                changes[name] = change(pairs)
    floors = {name: measure.floor for name, measure in MEASURES.items() if measure.floor is not None}
    return Verdict(
        means,
        changes,
        [name for name, floor in floors.items() if means.get(name, 0.0) < floor],
        [name for name, each in changes.items() if each.is_loss],
        sorted(set(baseline or ()) - {each.case_id for each in results}),
    )


def change(differences: Sequence[float]) -> Change:
    """The mean of paired differences and its interval."""
    mean = float(np.mean(differences))
    if len(set(differences)) == 1:
        return Change(mean, mean, mean)
    interval = bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Change(mean, float(interval.low), float(interval.high))


def values_of(results: Sequence[Result]) -> Mapping[str, Mapping[str, float]]:
    """A run as the baseline of another one."""
    return {each.case_id: each.values for each in results}


def read_baseline(path: Path = BASELINE) -> Mapping[str, Mapping[str, float]] | None:
    """Values by question; None when there is no file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content


def write_baseline(results: Sequence[Result], path: Path = BASELINE) -> None:
    """Stores what gates, one question a line."""
    lines = [
        f"{json.dumps(each.case_id)}: "
        + json.dumps({name: round(value, 4) for name, value in each.values.items() if MEASURES[name].gates})
        for each in sorted(results, key=lambda each: each.case_id)
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _values(results: Sequence[Result], name: str) -> list[float]:
    return [each.values[name] for each in results if name in each.values]
