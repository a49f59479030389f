"""``python -m eval.conflicts``: how well sources that disagree are told from those that speak of different things.

``conflict_cases.jsonl`` holds pairs of sentences of two documents, written for this: ones that give different values
of one thing, and controls that only look like it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eval.golden_set import EVAL_DIRECTORY

from corpus.analysis import analyse
from gateway.conflicts import ConflictKind
from gateway.stages.conflicts.statement import StatementReader, disagreement

CASES: Final = EVAL_DIRECTORY / "conflict_cases.jsonl"
_READER: Final = StatementReader(analyse)


@dataclass(frozen=True, slots=True)
class Case:
    """Two sentences; ``why`` says what makes a control one."""

    case_id: str
    one: dict[str, Any]
    other: dict[str, Any]
    conflict: bool
    why: str

    def found(self) -> ConflictKind | None:
        """What the two disagree in, as the gateway sees it."""
        one, other = (
            _READER.read(side["text"], side["title"], [side["headings"]] if side["headings"] else [])
            for side in (self.one, self.other)
        )
        return disagreement(one, other)


def cases(path: Path = CASES) -> Iterator[Case]:
    """The cases in order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        yield Case(case["id"], case["one"], case["other"], case["conflict"], case.get("why", ""))


@dataclass(frozen=True, slots=True)
class Figures:
    """What was told apart. ``missed`` and ``wrong`` are ids of cases."""

    conflicts: int
    controls: int
    missed: list[str]
    wrong: list[str]

    @property
    def recall(self) -> float:
        """Share of the conflicts that are found."""
        return 1 - len(self.missed) / self.conflicts

    @property
    def precision(self) -> float:
        """Share of what is found that is one."""
        found = self.conflicts - len(self.missed)
        return found / (found + len(self.wrong)) if found else 0.0


def measure() -> Figures:
    """Judges every case."""
    known = list(cases())
    return Figures(
        sum(case.conflict for case in known),
        sum(not case.conflict for case in known),
        [case.case_id for case in known if case.conflict and case.found() is None],
        [case.case_id for case in known if not case.conflict and case.found() is not None],
    )


def main() -> int:
    """Prints the figures; exit code 1 when a control is taken for a conflict."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    figures = measure()
    print(f"conflicts found: {figures.recall:.3f} of {figures.conflicts}, missed {figures.missed}")
    print(f"controls taken for one: {len(figures.wrong)} of {figures.controls} {figures.wrong}")
    print(f"precision: {figures.precision:.3f}")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
