"""Runs the tests over mutants, each in a copy of the tree that nobody else looks at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import mkdtemp

from tests.mutants.mutant import DoesNotApply, Mutant

COPIED = ("libs", "services", "sdk", "tests", "eval", "protos", "pyproject.toml")
SECONDS = 600.0
"""For the tests of one mutant: one that hangs them is killed as well."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
"""A parameter's name may hold spaces; what follows the name is the error."""
_TESTS_FAILED = 1


class Fate(StrEnum):
    """How a mutant ended."""

    KILLED = "killed"
    SURVIVED = "survived"
    DOES_NOT_APPLY = "does not apply"
    BROKEN = "broken"
    """The tests could not be run at all, so nothing was shown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant, and by which test; without one, a note says more."""

    mutant: Mutant
    fate: Fate
    by: str
    seconds: float


class Copy:
    """A copy of the source tree, whose packages are imported before those that are installed."""

    def __init__(self, root: Path) -> None:
        self.path = Path(mkdtemp(prefix="headwater-mutant-"))
        for name in COPIED:
            source = root / name
            if source.is_dir():
                shutil.copytree(source, self.path / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy(source, self.path / name)

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def test(self, what: Iterable[str]) -> tuple[int, str]:
        """pytest's exit status, and the first test that failed."""
        packages = [str(self.path / each) for each in (".", "libs", "services", "sdk")]
        # Without bytecode: a file that changes twice within a second would be taken for what it was before.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(packages), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider", "--tb=no", *what]
        try:
            done = subprocess.run(
                command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return _TESTS_FAILED, f"no end within {SECONDS:.0f} s"
        failed = _FAILED.search(done.stdout)
        return done.returncode, failed.group(1) if failed else done.stdout.strip().rpartition("\n")[2]

    def judge(self, mutant: Mutant) -> Verdict:
        """Takes the protection out, runs the tests, and puts it back."""
        started = time.monotonic()

        def verdict(fate: Fate, by: str) -> Verdict:
            return Verdict(mutant, fate, by, time.monotonic() - started)

        try:
            mutated = mutant.mutated(self.path)
        except DoesNotApply as error:
            return verdict(Fate.DOES_NOT_APPLY, str(error))
        file = self.path / mutant.path
        source = file.read_text()
        file.write_text(mutated)
        try:
            for tests in (mutant.tests, mutant.area):
                if not tests:
                    continue
                status, said = self.test(tests)
                if status == _TESTS_FAILED:
                    return verdict(Fate.KILLED, said)
                if status != 0:
                    return verdict(Fate.BROKEN, said)
            return verdict(Fate.SURVIVED, "no test noticed")
        finally:
            file.write_text(source)


def tests_of(mutants: Sequence[Mutant]) -> list[str]:
    """All tests that are to notice first, each once."""
    return sorted({test for mutant in mutants for test in mutant.tests})
