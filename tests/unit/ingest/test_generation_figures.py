"""What a comparison must show."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.ingest.generations_world import passing

from ingest.generations.figures import VerdictRules, objections


def test_two_sides_that_find_nothing_of_what_is_expected_do_not_pass() -> None:
    assert not objections(passing("g"), "g", VerdictRules())
    nothing = replace(passing("g"), overlap=1.0, hit=0.0, hit_beside=0.0, mrr=0.0, mrr_beside=0.0)
    (said,) = objections(nothing, "g", VerdictRules())
    assert "is 0" in said
