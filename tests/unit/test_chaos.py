"""Verdicts and the table of the chaos runs, without servers."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path
from typing import cast

import pytest
from tests.chaos import promises, table
from tests.chaos.__main__ import main
from tests.chaos.figures import Figures, Mark, percentile
from tests.chaos.patience import Patient
from tests.chaos.promises import PROMISES
from tests.chaos.scale import FULL, SHORT
from tests.chaos.workers import FailPoint, Strike, Worker
from tests.faults.proxy import Direction

from headwater import Client, HeadwaterError, NotFoundError
from headwater.errors import TimeoutExceededError, UnavailableError

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
HELD = Figures("P3", "cut twice", (Mark("missing", 0, "=", 0), Mark("seconds", 1.25, "≤", 2, " s")), {"cut kafka": 2})


def test_a_promise_is_held_only_by_marks_that_all_hold() -> None:
    assert HELD.held
    assert not Figures("P3", "nothing was measured").held
    assert not Figures("P3", "", (Mark("missing", 1, "=", 0), Mark("seconds", 1, "≤", 2))).held
    assert not Figures("P3", "", HELD.marks, problem="TimeoutError").held


@pytest.mark.parametrize(
    ("mark", "holds"),
    [
        (Mark("x", 2, "≤", 2), True),
        (Mark("x", 2.01, "≤", 2), False),
        (Mark("x", 0.95, "≥", 0.95), True),
        (Mark("x", 0.94, "≥", 0.95), False),
        (Mark("x", 49, "=", 50), False),
        (Mark("x", float("nan"), "≤", 2), False),
    ],
)
def test_a_mark_says_whether_it_holds(mark: Mark, holds: bool) -> None:
    assert mark.holds is holds
    if mark.measured == mark.measured:
        assert ("MISSED" in str(mark)) is not holds


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([3.0], 0.99) == 3.0
    with pytest.raises(ValueError, match="measured"):
        percentile([], 0.5)


def test_every_promise_that_needs_servers_has_a_scenario() -> None:
    wanted = {"P1", "P2", "P3", "P4", "P5", "P5b", "P6", "P10", "P13", "P14", "P15"}
    assert {each.number for each in PROMISES} == wanted
    assert len(PROMISES) == len(wanted)
    scenarios = {each.play.__module__ for each in PROMISES}
    files = set((Path(promises.__file__).parent / "scenarios").glob("p*.py"))
    assert {name.rpartition(".")[2] for name in scenarios} == {file.stem for file in files}


def test_a_run_replaces_its_own_rows_of_the_table_and_no_other() -> None:
    first, second = PROMISES[0], PROMISES[2]
    page = f"# Title\n\nbefore\n\n{table.BEGIN}\n{table.END}\n\nafter\n"
    once = table.merged(page, PROMISES, {second.number: table.row(second, HELD, "make chaos ONLY=P3", "2026-01-01")})
    assert once.startswith("# Title\n\nbefore\n")
    assert once.endswith("\n\nafter\n")
    rows = [line for line in once.splitlines() if line.startswith("| **")]
    assert [line.split("**")[1] for line in rows] == [each.number for each in PROMISES]
    assert sum(table.NOT_MEASURED in line for line in rows) == len(PROMISES) - 1
    assert "seconds 1.25 s (≤ 2 s)" in once
    missed = Figures("P1", "x", (Mark("missing", 3, "=", 0),))
    twice = table.merged(once, PROMISES, {first.number: table.row(first, missed, "make chaos ONLY=P1", "2026-01-02")})
    assert "**NOT HELD**: x; missing 3 (= 0, MISSED)" in twice
    assert next(line for line in rows if line.startswith("| **P3")) in twice
    assert table.merged(twice, PROMISES, {}) == twice
    with pytest.raises(ValueError, match="lacks"):
        table.merged("no markers", PROMISES, {})


def test_the_page_has_a_row_per_promise_and_commands_that_exist() -> None:
    page = PAGE.read_text()
    assert table.merged(page, PROMISES, {}) == page
    root = PAGE.parents[1]
    for path in re.findall(r"`(tests/[\w/.]+)`", page):
        assert (root / path).exists(), path


def test_the_full_scale_is_larger_than_the_short_one() -> None:
    for name in ("workers", "kill_documents", "kill_events", "kills", "stale_versions", "fault_seconds", "deleted"):
        assert getattr(FULL, name) > getattr(SHORT, name), name
    assert SHORT.kills >= len(FailPoint)
    assert (FULL.slack, FULL.least_ratio) == (1.0, 0.95)


@pytest.mark.parametrize("only", ["P9", "P12", "P1,P77"])
def test_a_promise_without_a_scenario_can_t_be_played(only: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", only])
    assert "no scenario" in capsys.readouterr().err


class Flaky:
    """Fails in these ways, one after the other, and then answers."""

    def __init__(self, *failures: HeadwaterError) -> None:
        self.failures = list(failures)

    def search(self, text: str) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return text


def test_a_patient_caller_repeats_what_had_no_outcome_and_nothing_else() -> None:
    flaky = Flaky(UnavailableError("gone", reason="X"), TimeoutExceededError("late", reason="X"))
    assert Patient(cast(Client, flaky)).search("pump") == "pump"
    with pytest.raises(NotFoundError):
        Patient(cast(Client, Flaky(NotFoundError("none", reason="X")))).search("pump")


class Struck(Worker):
    """Remembers signals."""

    def send(self, number: signal.Signals) -> None:
        self.environment = {**self.environment, "signal": number.name}


UP, DOWN = Direction.UP, Direction.DOWN
BULK = b'POST /_bulk\r\n\r\n{"index":{"_index":"t-lexical-1"}}\n{"document":"killed-1"}\n'
HEAD = b"PUT /t-heads/_doc/x HTTP/1.1\r\n\r\n{}"


@pytest.mark.parametrize(
    ("point", "pieces", "passed"),
    [
        (FailPoint.AFTER_FETCH, [("elasticsearch", 1, UP, b"POST /t-changes/_mget")], b""),
        (FailPoint.AFTER_PARSE, [("embedder", 1, UP, b"killed-1 runs")], b""),
        (FailPoint.MID_EMBED, [("embedder", 1, UP, b"killed-1 runs")], b"killed-1 runs"),
        (
            FailPoint.AFTER_EMBED,
            [("embedder", 1, UP, b"killed-1"), ("embedder", 1, DOWN, b"ok"), ("embedder", 1, DOWN, b"v" * 1_600)],
            b"v" * 1_600,
        ),
        (FailPoint.MID_LEXICAL, [("elasticsearch", 1, UP, BULK)], BULK[: len(BULK) // 2]),
        (FailPoint.MID_VECTOR, [("weaviate", 1, UP, b"killed-1 row")], b"killed"),
        (
            FailPoint.AFTER_HEAD,
            [("elasticsearch", 1, UP, HEAD), ("elasticsearch", 2, DOWN, b"other"), ("elasticsearch", 1, DOWN, b"201")],
            b"",
        ),
        (
            FailPoint.BEFORE_COMMIT,
            [("elasticsearch", 1, UP, b"t-changes applied"), ("elasticsearch", 1, DOWN, b"200")],
            b"200",
        ),
    ],
)
def test_a_worker_is_struck_at_the_last_of_these_pieces_and_not_before(
    tmp_path: Path, point: FailPoint, pieces: list[tuple[str, int, Direction, bytes]], passed: bytes
) -> None:
    strike = Strike(Struck("w", tmp_path, {}, {}), point, b"killed")
    for store, connection, direction, piece in pieces[:-1]:
        assert strike._see(store, connection, direction, piece) == piece
        assert not strike.struck.is_set()
    assert strike._see(*pieces[-1]) == passed
    assert strike.struck.is_set()
    assert strike.worker.environment == {"signal": "SIGKILL"}


def test_of_several_strikes_with_one_event_the_first_is_the_only_one(tmp_path: Path) -> None:
    struck = threading.Event()
    first, second = (
        Strike(Struck(name, tmp_path, {}, {}), FailPoint.MID_EMBED, b"killed", signal.SIGSTOP, struck) for name in "ab"
    )
    for strike in (first, second):
        assert strike._see("embedder", 1, UP, b"killed-1 runs") == b"killed-1 runs"
    assert (first.is_hit, second.is_hit) == (True, False)
    assert first.worker.environment == {"signal": "SIGSTOP"}
    assert second.worker.environment == {}
