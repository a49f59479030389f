"""Whether confidence says how often answers are right, and whether the gate sees when it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from eval import calibration
from eval.gate import judge, values_of
from eval.measures import MEASURES, Result, of_confidence

from gateway.generators.extractive.confidence import Calibration
from headwater import Answer, AnswerOutcome

RNG = np.random.default_rng(5)


def test_the_error_is_the_distance_of_the_bins_weighed_by_their_size() -> None:
    sure, right = [0.95] * 8 + [0.15, 0.15], [1.0] * 8 + [0.0, 1.0]

    bins = calibration.reliability(sure, right)

    assert [(each.count, each.right) for each in bins] == [(2, 0.5), (8, 1.0)]
    assert calibration.calibration_error(sure, right) == pytest.approx(0.8 * 0.05 + 0.2 * 0.35)
    assert calibration.calibration_error([], []) == 0.0
    assert calibration.calibration_error([1.0], [1.0]) == 0.0


def test_a_fitted_map_brings_confidence_to_what_is_right_on_answers_it_has_not_seen() -> None:
    truth = RNG.uniform(0.05, 0.95, 4000)
    right = (RNG.uniform(size=4000) < truth).astype(float)
    # Twice too sure.
    sure = 1 / (1 + np.exp(-2 * np.log(truth / (1 - truth)) + 1))

    mapped = calibration.held_out(sure, right)

    assert calibration.calibration_error(sure, right) > 0.08
    assert calibration.calibration_error(mapped, right) < 0.04


def test_the_shipped_map_keeps_the_order_and_can_be_undone() -> None:
    shipped = Calibration.shipped()
    values = np.linspace(0.02, 0.98, 25)
    mapped = [shipped.apply(float(value)) for value in values]

    assert mapped == sorted(mapped)
    assert all(0 < value < 1 for value in mapped)
    assert [shipped.undo(value) for value in mapped] == pytest.approx(list(values), abs=1e-6)
    assert 0 <= shipped.apply(0.0) < shipped.apply(1.0) <= 1


def test_the_command_prints_the_error_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [(float(sure), bool(RNG.uniform() < sure)) for sure in RNG.uniform(0.5, 0.99, 80)]
    run, stored = tmp_path / "run.json", tmp_path / "calibration.json"
    run.write_text(json.dumps({"answers": {"confidence": pairs}}), encoding="utf-8")
    monkeypatch.setattr(calibration, "FILE", stored)
    monkeypatch.setattr(sys, "argv", ["calibration", str(run), "--write"])

    assert calibration.main() == 0
    assert "80 answers" in capsys.readouterr().out
    assert Calibration(**json.loads(stored.read_text(encoding="utf-8"))).slope > 0


def results(confidence: list[float]) -> list[Result]:
    """60 answers that are right, 10 questions that have none."""
    told = []
    for number, sure in enumerate(confidence):
        right = number < 60
        outcome = AnswerOutcome.ANSWERED if right else AnswerOutcome.ABSTAINED
        answer = Answer("a", outcome, "", (), sure, (), (), "", "extractive")
        told.append(Result(f"q{number}", "lookup", of_confidence(answer, right=right)))
    return told


def test_a_shuffled_confidence_fails_the_gate() -> None:
    honest = [*RNG.uniform(0.85, 0.98, 60), *RNG.uniform(0.01, 0.3, 10)]
    baseline = values_of(results(honest))
    assert "calibrated" not in judge(results(honest), baseline).below

    verdict = judge(results(list(RNG.permutation(honest))), baseline)

    assert "calibrated" in verdict.below
    assert "calibrated" in verdict.lost
    assert MEASURES["calibrated"].floor is not None
