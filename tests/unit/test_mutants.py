"""The mutants themselves: that they fit the source as it is. That the tests kill them is shown by ``make mutants``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import DoesNotApply, Mutant

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
