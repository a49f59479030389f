"""``sources check|send``: records of other systems."""

from __future__ import annotations

import json as jsonlib
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption
from headwater.cli.output import console, print_json
from headwater.cli.problems import EXIT_CHECK_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE, CommandError

app = typer.Typer(
    help="Records of Debezium, CloudEvents and S3: try a mapping, send a record.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
KeyOption = Annotated[str, typer.Option("--key", help='The records\' key, for instance {"id": 7}.')]
HeaderOption = Annotated[
    list[str] | None, typer.Option("--header", help="A header as name=value; repeatable. CloudEvents: ce_type=….")
]
_EXIT_CODES = {1: EXIT_CHECK_FAILED, 75: EXIT_UNAVAILABLE}
_SECONDS = 120.0


@app.command()
def check(
    mappings: Annotated[Path, typer.Argument(help="The TOML file of mappings.")],
    records: Annotated[list[Path] | None, typer.Argument(help="Files, each a record's value.")] = None,
    key: KeyOption = "",
    header: HeaderOption = None,
    json: JsonOption = False,
) -> None:
    """Check a file of mappings, and show what records would become. Needs no running service; changes nothing.

    Example:  headwater sources check sources.toml insert.json delete.json --key '{"id": 7}'
    """
    answer, code = _run(["check", str(mappings), *map(str, records or ()), *_options(key, header)], os.environ)
    if json:
        print_json(answer)
    else:
        console.print(f"sources: {', '.join(answer['sources'])}")
        for record in answer["records"]:
            _show(record)
    if code:
        raise typer.Exit(EXIT_CHECK_FAILED)


@app.command()
def send(
    records: Annotated[list[Path], typer.Argument(help="Files, each a record's value.")],
    key: KeyOption = "",
    header: HeaderOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Append records to the topic of sources, as a connector does. Reads the services' HEADWATER_… settings.

    Example:  headwater sources send insert.json --key '{"id": 7}'
    """
    environment = {**os.environ, "HEADWATER_DATA_DIR": str(data)}
    answer, _ = _run(["send", *map(str, records), *_options(key, header)], environment)
    if json:
        print_json(answer)
    else:
        console.print(f"{answer['sent']} sent; 'headwater status' shows what becomes of them")


def _show(record: dict[str, Any]) -> None:
    console.print(str(record["record"]), style="bold")
    for change in record["changes"]:
        console.print(f"  {change['change']} {change['document']} of {change['tenant']} at {change['version']}")
        if change["change"] == "put":
            console.print(f"    readers: {', '.join(change['readers']) or 'nobody'}")
            console.print(f"    text: {change['text'][:200]!r}")
    if refused := record.get("refused"):
        console.print(f"  refused: {refused['reason']}: {refused['message']}", style="yellow")
    elif not record["changes"]:
        console.print("  says nothing about documents")


def _options(key: str, headers: Sequence[str] | None) -> list[str]:
    return [*(["--key", key] if key else []), *(part for header in headers or () for part in ("--header", header))]


def _run(arguments: list[str], environment: dict[str, str] | os._Environ[str]) -> tuple[dict[str, Any], int]:
    if find_spec("ingest") is None:
        raise CommandError(
            "The services are not installed here; this is the client alone.",
            hint="Clone the repository and run 'make setup', or run this in the admin image.",
        )
    done = subprocess.run(  # noqa: S603 - a program of ours
        [sys.executable, "-m", "ingest.sources", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    try:
        answer = jsonlib.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise CommandError("ingest.sources failed.", hint=done.stderr.strip()[-1000:]) from None
    if "error" in answer:
        raise CommandError(
            f"{answer['error']} ({answer['reason']})", exit_code=_EXIT_CODES.get(done.returncode, EXIT_USAGE)
        )
    return answer, done.returncode
