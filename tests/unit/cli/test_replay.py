"""How replays are shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headwater.cli.output import plain
from headwater.cli.replay import print_replay
from headwater.replays import ReplayedAnswer, ReplayedStage

STAGES = (
    ReplayedStage("understanding", "same", ()),
    ReplayedStage(
        "retrieval", "differs", ("document gateway.md: version 3 → 4", "document [red]x[/red]: other passages")
    ),
    ReplayedStage("rerank", "skipped", ("nothing was reranked",)),
    ReplayedStage("output", "differs", ("other text",)),
)
MADE = ReplayedAnswer("a-1", datetime(2026, 11, 21, 9, tzinfo=UTC), "retrieval", STAGES, False, ("a note",))


def test_the_first_difference_comes_first_and_then_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    print_replay(MADE)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "The answer of 2026-11-21 09:00 UTC first differs in retrieval:"
    assert lines[1].strip() == "document gateway.md: version 3 → 4"
    assert lines[2].strip() == "document [red]x[/red]: other passages"
    table = "\n".join(lines[3:])
    for stage in STAGES:
        assert stage.name in table
    assert "a note" in table
    assert "language model" in table


def test_an_answer_that_comes_out_the_same_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_replay(ReplayedAnswer("a-1", MADE.answered_at, "", STAGES[:1], True, ()))
    shown = capsys.readouterr().out
    assert "comes out the same" in shown
    assert "language model" not in shown


def test_json_has_everything() -> None:
    assert plain(MADE)["stages"][1]["verdict"] == "differs"
