"""``admin init|check``: the servers of the cluster profile; refused (exit code 2) with any other profile."""

from __future__ import annotations

import json as jsonlib
import subprocess
import sys
from importlib.util import find_spec

import typer

from headwater.cli.context import JsonOption
from headwater.cli.output import console, print_json
from headwater.cli.problems import EXIT_CHECK_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE, CommandError

app = typer.Typer(
    help="Set up and check the servers of the cluster profile.", no_args_is_help=True, rich_markup_mode=None
)

_PROGRAMS = ("ingest.admin", "gateway.admin")
"""Each knows what its service keeps where; both read the same HEADWATER_… settings as the services."""
_EXIT_CODES = {1: EXIT_CHECK_FAILED, 2: EXIT_USAGE, 75: EXIT_UNAVAILABLE, 78: EXIT_USAGE}
_SECONDS = 300.0


@app.command()
def init(json: JsonOption = False) -> None:
    """Create topics and indexes that are missing. Safe to repeat; nothing that exists is changed.

    Example:  HEADWATER_PROFILE=cluster HEADWATER_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 … headwater admin init
    """
    made = _collect("init", "created")
    if json:
        print_json({"created": made})
    elif made:
        console.print(*(f"created {name}" for name in made), sep="\n")
    else:
        console.print("Everything is there already.")


@app.command()
def check(json: JsonOption = False) -> None:
    """Compare topics, indexes and collections with what this version expects. Exit code 1 when anything differs.

    Example:  HEADWATER_PROFILE=cluster HEADWATER_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 … headwater admin check --json
    """
    found = _collect("check", "differences")
    if json:
        print_json({"differences": found})
    elif found:
        console.print(*found, sep="\n")
    else:
        console.print("Everything is as expected.")
    if found:
        raise typer.Exit(EXIT_CHECK_FAILED)


def _collect(command: str, key: str) -> list[str]:
    found: list[str] = []
    for program in _PROGRAMS:
        if find_spec(program.split(".")[0]) is None:
            raise CommandError(
                "The services are not installed here; this is the client alone.",
                hint="Clone the repository and run 'make setup', or run this in the admin image.",
            )
        done = subprocess.run(  # noqa: S603 - programs of ours
            [sys.executable, "-m", program, command], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        try:
            answer = jsonlib.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise CommandError(f"{program} {command} failed.", hint=done.stderr.strip()[-1000:]) from None
        if "error" in answer:
            raise CommandError(
                f"{answer['error']} ({answer['reason']})", exit_code=_EXIT_CODES.get(done.returncode, EXIT_CHECK_FAILED)
            )
        found += answer[key]
    return found
