"""``python -m eval.calibration RUN.json``: whether answers are right as often as their confidence says.

RUN.json is what ``headwater eval DIR --answers FILE --json`` prints. Fits Platt's map from the confidence of answers to
the share of them that hold an accepted one, prints the expected calibration error before and after, each question
judged by the map of the other half, and stores the map where the gateway reads it with ``--write``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

from gateway.generators.extractive.confidence import Calibration

FILE: Final = Path(__file__).resolve().parent.parent / "services/gateway/generators/extractive/calibration.json"
COMMAND: Final = "python -m eval.calibration RUN.json --write"
BINS: Final = 10
_PULL: Final = 5e-4
"""Keeps the slope near 1 where answers are too few to say."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of one tenth of the scale: how many, how sure they were on average, and the share that was right."""

    count: int
    confidence: float
    right: float


def reliability(confidence: Sequence[float] | Vector, right: Sequence[float] | Vector) -> list[Bin]:
    """The bins that hold an answer, in order."""
    sure, truth = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    number = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        Bin(int((number == each).sum()), float(sure[number == each].mean()), float(truth[number == each].mean()))
        for each in range(BINS)
        if (number == each).any()
    ]


def calibration_error(confidence: Sequence[float] | Vector, right: Sequence[float] | Vector) -> float:
    """Expected calibration error (Naeini et al. 2015) over ten bins of equal width; 0 for no answers."""
    bins = reliability(confidence, right)
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.right) for each in bins) / total if total else 0.0


def fit(confidence: Vector, right: Vector) -> Calibration:
    """The map under which the answers are likeliest."""
    odds = np.log(confidence / (1 - confidence))
    sign = 2 * right - 1

    def loss(weights: Vector) -> float:
        fits = np.logaddexp(0, -sign * (weights[0] * odds + weights[1])).mean()
        return float(fits + _PULL * (weights[0] - 1) ** 2)

    slope, intercept = minimize(loss, np.array([1.0, 0.0])).x
    return Calibration(round(float(max(slope, 0.01)), 4), round(float(intercept), 4), COMMAND)


def held_out(confidence: Vector, right: Vector) -> Vector:
    """(n,) what each answer's confidence becomes under the map of the other half: evens by odds, odds by evens."""
    mapped = np.empty_like(confidence)
    for half in (0, 1):
        other = fit(confidence[1 - half :: 2], right[1 - half :: 2])
        mapped[half::2] = [other.apply(float(each)) for each in confidence[half::2]]
    return mapped


def main() -> int:
    """Fits, prints, and stores when told to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--write", action="store_true", help="store the map in the gateway")
    arguments = parser.parse_args()
    pairs = json.loads(arguments.run.read_text(encoding="utf-8"))["answers"]["confidence"]
    shipped = Calibration.shipped()
    sure = np.clip([shipped.undo(confidence) for confidence, _ in pairs], 1e-6, 1 - 1e-6)
    right = np.array([float(held) for _, held in pairs])
    found = fit(sure, right)
    print(f"{len(pairs)} answers, {right.mean():.3f} right")
    for name, values in (
        ("without a map", sure),
        ("shipped", np.array([confidence for confidence, _ in pairs])),
        ("held out", held_out(sure, right)),
    ):
        error, score = calibration_error(values, right), ((values - right) ** 2).mean()
        print(f"  {name}: expected calibration error {error:.3f}, Brier score {score:.3f}")
    print(f"  slope {found.slope}, intercept {found.intercept}")
    if arguments.write:
        FILE.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
