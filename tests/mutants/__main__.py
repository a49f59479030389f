"""``python -m tests.mutants [NAME…]``: takes out one protection at a time and shows which test turns red.

Exits with 1 when a mutant survived, no longer fits the source or could not be tested, and when the tests fail without
any mutant, because then they prove nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

from tests.mutants import page
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.run import Copy, Fate, Verdict, tests_of

ROOT = Path(__file__).parents[2]


def main() -> int:
    asked = _arguments()
    mutants = [mutant for mutant in MUTANTS if not asked.names or mutant.name in asked.names]
    if unknown := set(asked.names) - {mutant.name for mutant in mutants}:
        print(f"There is no mutant {', '.join(sorted(unknown))}; see tests/mutants/catalogue.", file=sys.stderr)
        return 2
    started = time.monotonic()
    copies: SimpleQueue[Copy] = SimpleQueue()
    made = [Copy(ROOT) for _ in range(max(asked.jobs, 1))]
    try:
        for copy in made:
            copies.put(copy)
        if not asked.no_baseline:
            status, said = made[0].test(tests_of(mutants))
            if status != 0:
                print(f"The tests fail without any mutant, so they prove nothing: {said}", file=sys.stderr)
                return 1

        def judge(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                verdict = copy.judge(mutant)
            finally:
                copies.put(copy)
            print(f"{verdict.fate}: {mutant.name} ({verdict.seconds:.0f} s) {verdict.by}", file=sys.stderr, flush=True)
            return verdict

        with ThreadPoolExecutor(len(made)) as pool:
            verdicts = list(pool.map(judge, mutants))
    finally:
        for copy in made:
            copy.__exit__()
    _tell(verdicts, time.monotonic() - started, as_json=asked.json)
    if asked.write:
        page.write(asked.write, verdicts, MUTANTS, datetime.now(UTC).date().isoformat())
    return 0 if all(verdict.fate is Fate.KILLED for verdict in verdicts) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all when none is named")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put what ended how into this page's table")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--no-baseline", action="store_true", help="do not first run the tests without any mutant")
    return parser.parse_args()


def _tell(verdicts: Sequence[Verdict], seconds: float, *, as_json: bool) -> None:
    killed = sum(verdict.fate is Fate.KILLED for verdict in verdicts)
    if as_json:
        rows = [
            {
                "mutant": verdict.mutant.name,
                "protects": verdict.mutant.protects,
                "path": verdict.mutant.path,
                "fate": verdict.fate,
                "by": verdict.by,
                "seconds": round(verdict.seconds, 1),
            }
            for verdict in verdicts
        ]
        print(json.dumps({"killed": killed, "of": len(verdicts), "seconds": round(seconds, 1), "mutants": rows}))
        return
    for verdict in verdicts:
        print(f"{verdict.mutant.name:<24} {verdict.fate:<15} {verdict.seconds:5.0f} s  {verdict.by}")
    print(f"{killed} of {len(verdicts)} mutants killed in {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
