"""The mutants themselves: that they fit the source as it is. That the tests kill them is shown by ``make mutants``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import DoesNotApply, Mutant
from tests.mutants.page import BEGIN, END, write
from tests.mutants.run import Copy, Fate, Verdict

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_protection_that_a_mutant_takes_out_is_there(mutant: Mutant) -> None:
    assert mutant.mutated(ROOT) != (ROOT / mutant.path).read_text()
    named = [test.partition("::")[0] for test in (*mutant.tests, *mutant.area)]
    assert named
    assert not [test for test in named if not (ROOT / test).exists()]


def test_names_of_mutants_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_mutant_of_source_that_has_changed_says_so(tmp_path: Path) -> None:
    mutant = Mutant("one", "", "a.py", "x = 1", "x = 2", ("t",))
    with pytest.raises(DoesNotApply, match="there is no"):
        mutant.mutated(tmp_path)
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    with pytest.raises(DoesNotApply, match="2 times"):
        mutant.mutated(tmp_path)
    (tmp_path / "a.py").write_text("if x = 1:\n")
    with pytest.raises(DoesNotApply, match="no Python"):
        mutant.mutated(tmp_path)


@pytest.mark.timeout(400)  # it runs pytest three times
def test_a_mutant_is_killed_by_a_test_that_fails_and_survives_one_that_does_not_look(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "libs" / "guarded_thing.py").write_text("LIMIT = 3\n")
    (tmp_path / "tests" / "test_looks.py").write_text(
        "import guarded_thing\n\n\ndef test_limit():\n    assert guarded_thing.LIMIT == 3\n"
    )
    (tmp_path / "tests" / "test_blind.py").write_text("def test_nothing():\n    pass\n")

    def mutant(*tests: str, area: tuple[str, ...] = ()) -> Mutant:
        return Mutant("limit", "", "libs/guarded_thing.py", "LIMIT = 3", "LIMIT = 4", tests, area)

    with Copy(tmp_path) as copy:
        assert copy.judge(mutant("tests/test_blind.py")).fate is Fate.SURVIVED
        assert (copy.path / "libs" / "guarded_thing.py").read_text() == "LIMIT = 3\n"
        killed = copy.judge(mutant("tests/test_blind.py", area=("tests/test_looks.py",)))
        assert (killed.fate, killed.by) == (Fate.KILLED, "tests/test_looks.py::test_limit")
    assert not copy.path.exists()
    assert (tmp_path / "libs" / "guarded_thing.py").read_text() == "LIMIT = 3\n"


def test_the_page_keeps_what_was_not_judged_again_and_forgets_mutants_that_are_no_more(tmp_path: Path) -> None:
    first, second, third = MUTANTS[:3]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    write(page, [_verdict(third, Fate.KILLED), _verdict(first, Fate.SURVIVED)], MUTANTS, "2026-01-01")
    write(page, [_verdict(first, Fate.KILLED)], (first, second), "2026-01-02")
    lines = page.read_text().splitlines()
    assert lines[:3] == ["before", BEGIN, "1 of 2 mutants killed."]
    (row,) = [line for line in lines if line.startswith("| `")]
    ended = "killed | `tests/a.py::test_b[c d]` | 2026-01-02 |"
    assert row == f"| `{first.name}` | {first.protects} | `{first.path}` | {ended}"
    assert lines[-2:] == [END, "after"]


def _verdict(mutant: Mutant, fate: Fate) -> Verdict:
    return Verdict(mutant, fate, "tests/a.py::test_b[c d]", 1.0)
