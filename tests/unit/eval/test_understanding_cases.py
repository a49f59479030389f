"""The rules keep what docs/understanding.md says of them, on the questions that they were not mended against."""

from __future__ import annotations

import statistics
from collections import Counter

from eval.understanding_cases import HALVES, VOCABULARY, accuracies, judge, load_cases

from corpus.analysis import analyse
from gateway.plan import QuestionClass
from gateway.settings import GatewaySettings
from gateway.understanding import build_planner


def test_rules_understand_the_held_out_half_within_milliseconds() -> None:
    planner = build_planner(GatewaySettings(understand_vocabulary=VOCABULARY), analyse)

    judged, milliseconds = judge(load_cases(), planner)

    found = accuracies(judged, "held_out")
    assert found["class"]["accuracy"] >= 0.95
    assert found["rewrite"]["accuracy"] >= 0.85
    assert found["filters"]["accuracy"] >= 0.85
    assert statistics.median(milliseconds) < 15


def test_every_class_has_cases_and_ids_are_unique() -> None:
    cases = load_cases()

    assert len({case.case_id for case in cases}) == len(cases)
    assert {case.half for case in cases} == set(HALVES)
    classes = Counter(case.expected["class"] for case in cases if "class" in case.expected)
    assert set(classes) == {kind.value for kind in QuestionClass}
    assert min(classes.values()) >= 10
