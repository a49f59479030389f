"""This tree against an older revision of it, in turns, on embedded engines.

    python -m bench.compare REVISION [--turns N] [-- what python -m bench takes]

The older revision runs from a git worktree of its own with this environment's packages. What else the machine does
meets both, so the ratios of the medians mean something where the figures themselves don't. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent.parent
SMALL: Final = (
    *("--chunks", "0", "--documents", "60", "--rounds", "3"),
    *("--searches", "100", "--seconds", "3", "--changes", "50"),
)
"""Enough for a ratio, and two minutes instead of twenty. Three rounds: the first one finds parsers that are cold."""
HIGHER_IS_BETTER: Final = ("ingest_tokens_per_second", "ingest_vs_embed_ratio", "search_qps_16")
LOWER_IS_BETTER: Final = ("search_p50_ms", "event_to_searchable_p50_ms", "revoke_to_invisible_p50_ms", "rss_bytes")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("options", nargs="*", default=SMALL)
    arguments = parser.parse_args()
    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    with checked_out(arguments.revision) as older:
        for turn in range(arguments.turns):
            # Each goes first as often as the other, give or take one.
            for tree, runs in [(older, before), (HERE, after)][:: 1 if turn % 2 == 0 else -1]:
                runs.append(measured(tree, arguments.options))
                print(f"bench: {tree}: {figures(runs[-1:])}", file=sys.stderr)
    old, new = figures(before), figures(after)
    ratios = {name: round(new[name] / old[name], 3) for name in HIGHER_IS_BETTER}
    ratios |= {name: round(old[name] / new[name], 3) for name in LOWER_IS_BETTER}
    print(json.dumps({"before": old, "after": new, "as_good_as_before": ratios}, indent=2))


def figures(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Medians of what is compared."""
    return {name: median(run[name] for run in runs) for name in (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)}


def measured(tree: Path, options: Sequence[str]) -> dict[str, Any]:
    """One run of a tree's own bench."""
    # Before the editable installation of this tree, so that the processes which the bench starts find theirs.
    path = os.pathsep.join(str(tree / part) for part in ("", "libs", "services", "sdk"))
    command = [sys.executable, "-m", "bench", *options]
    run = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True, text=True
    )
    measured: dict[str, Any] = json.loads(run.stdout)
    return measured


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A worktree of the revision, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="headwater-before-") as folder:
        tree = Path(folder, "tree")
        subprocess.run(["git", "worktree", "add", "--detach", str(tree), revision], cwd=HERE, check=True, stdout=2)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=HERE, check=True)


if __name__ == "__main__":
    main()
