"""How drift is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headwater.cli.drift import print_drift
from headwater.drift import DriftReport, SignalDrift

TAKEN = datetime(2026, 11, 21, 9, tzinfo=UTC)
SIGNALS = (
    SignalDrift("abstained", 0.02, 0.004, 0.05, 0.06, 500, "stable"),
    SignalDrift("score", 0.31, 0.036, 0.71, 0.42, 480, "large"),
    SignalDrift("embedding", None, 0.1, 0.4, 0.4, 3, "unknown"),
)


def test_the_largest_drift_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_drift(DriftReport(TAKEN, 500, 480, 500, SIGNALS))

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["score", "0.310", "0.036", "0.710", "0.420", "480", "large"]
    assert [line[0] for line in lines[1:4]] == ["score", "abstained", "embedding"]
    assert "–" in lines[3]


def test_without_a_reference_it_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_drift(DriftReport(None, 0, 120, 500, ()))
    print_drift(DriftReport(None, 0, 0, 0, ()))
    shown = capsys.readouterr().out
    assert "No reference yet: 120 of 500 answers." in shown
    assert "not watched" in shown
