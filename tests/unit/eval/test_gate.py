"""The gate lets no loss through that a paired bootstrap can see, and none that is noise stop it."""

from __future__ import annotations

import pytest
from eval.gate import change, judge, read_baseline, values_of, write_baseline
from eval.measures import MEASURES, Result

REST = [
    Result(name, name, {name: 1.0})
    for name, measure in MEASURES.items()
    if measure.floor is not None and name != "hit@5"
]
"""One question for each other measure that has a floor."""
GOOD = [Result(f"q{n}", "lookup", {"hit@5": 1.0, "rr@10": 1.0, "ask_ms": 10.0}) for n in range(60)] + REST


def run_with(misses: int) -> list[Result]:
    return [
        Result(each.case_id, each.kind, {"hit@5": float(n >= misses), "rr@10": float(n >= misses), "ask_ms": 10.0})
        for n, each in enumerate(GOOD[:60])
    ] + REST


def test_the_same_run_passes_against_itself() -> None:
    verdict = judge(GOOD, values_of(GOOD))
    assert verdict.passed
    assert verdict.changes["hit@5"].mean == 0


@pytest.mark.parametrize(("misses", "lost"), [(1, []), (3, []), (4, ["hit@5", "rr@10"])])
def test_three_questions_of_sixty_are_noise_and_four_a_loss(misses: int, lost: list[str]) -> None:
    verdict = judge(run_with(misses), values_of(GOOD))
    assert list(verdict.lost) == lost
    assert verdict.passed is (not lost)


def test_a_measure_with_a_floor_that_nothing_was_asked_about_fails() -> None:
    verdict = judge([each for each in GOOD if each.case_id != "denied"], None)
    assert list(verdict.below) == ["denied"]
    assert not judge([], None).passed


def test_a_mean_below_its_floor_fails_without_a_baseline() -> None:
    verdict = judge(run_with(4), None)
    assert list(verdict.below) == ["hit@5"]
    assert not verdict.passed


def test_a_question_that_was_left_out_fails_the_run() -> None:
    verdict = judge(GOOD[1:], values_of(GOOD))
    assert list(verdict.missing) == ["q0"]
    assert not verdict.passed


def test_latency_never_gates() -> None:
    slow = [
        Result(each.case_id, each.kind, {**each.values, "ask_ms": 9_000.0}) for each in GOOD if "ask_ms" in each.values
    ] + REST
    assert judge(slow, values_of(GOOD)).passed
    assert not MEASURES["ask_ms"].gates


def test_what_every_processor_rounds_its_own_way_is_no_loss() -> None:
    rounded = [Result(each.case_id, each.kind, {**each.values, "rr@10": 0.9999}) for each in GOOD[:60]] + REST
    assert judge(rounded, values_of(GOOD)).passed


def test_the_interval_holds_the_mean_and_is_the_same_every_time() -> None:
    differences = [0.0] * 50 + [-1.0] * 8 + [1.0] * 2
    one, other = change(differences), change(differences)
    assert one == other
    assert one.low < one.mean < one.high


def test_a_baseline_is_read_back_as_it_was_written_without_what_does_not_gate(tmp_path) -> None:
    path = tmp_path / "baseline.json"
    assert read_baseline(path) is None
    write_baseline(run_with(2), path)
    again = read_baseline(path)
    assert again is not None
    assert again["q0"] == {"hit@5": 0.0, "rr@10": 0.0}
    assert len(again) == len(GOOD)
