"""The page that says which test notices which protection's loss (docs/mutants.md)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.run import Verdict

BEGIN = "<!-- written by python -m tests.mutants --write -->"
END = "<!-- end -->"
_HEADING = "| mutant | protects | in | ended | by | on |\n| --- | --- | --- | --- | --- | --- |\n"


def write(page: Path, verdicts: Sequence[Verdict], catalogue: Sequence[Mutant], day: str) -> None:
    """Puts the verdicts of this day into the page's table, in the catalogue's order. Rows of mutants that were not
    judged this time stay, those of mutants that are no more go. Raises ValueError when the page has no markers."""
    before, began, rest = page.read_text().partition(BEGIN)
    table, ended, after = rest.partition(END)
    if not (began and ended):
        raise ValueError(f"{page} lacks the markers between which the table stands.")
    rows = _rows(table) | {each.mutant.name: _row(each, day) for each in verdicts}
    kept = [rows[mutant.name] for mutant in catalogue if mutant.name in rows]
    killed = sum(" | killed | " in row for row in kept)
    said = f"{killed} of {len(catalogue)} mutants killed."
    lines = "".join(row + "\n" for row in kept)
    page.write_text(f"{before}{BEGIN}\n{said}\n\n{_HEADING}{lines}{END}{after}")


def _rows(table: str) -> dict[str, str]:
    found = (re.match(r"\| `([^`]+)` \|", line) for line in table.splitlines())
    return {match.group(1): match.string for match in found if match}


def _row(verdict: Verdict, day: str) -> str:
    mutant = verdict.mutant
    by = f"`{verdict.by}`" if "::" in verdict.by else verdict.by
    cells = (f"`{mutant.name}`", mutant.protects, f"`{mutant.path}`", str(verdict.fate), by, day)
    return "| " + " | ".join(each.replace("|", "\\|").replace("\n", " ") for each in cells) + " |"
