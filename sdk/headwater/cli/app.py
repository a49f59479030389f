"""The command line: one module per group of commands, put together here."""

from __future__ import annotations

import sys

import typer

from headwater.cli import (
    admin,
    ask,
    bucket,
    cost,
    dlq,
    documents,
    drift,
    evaluate,
    feedback,
    generation,
    ingest,
    local,
    privacy,
    replay,
    review,
    search,
    source_records,
    stores,
    tenants,
    trace,
    watch,
)
from headwater.cli.output import errors
from headwater.cli.problems import CommandError, exit_code_of
from headwater.errors import HeadwaterError

app = typer.Typer(
    name="headwater",
    help="Documents in, cited answers out. Start with:  headwater up",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (local, ingest, search, ask, evaluate, trace, watch, bucket, stores, cost, replay):
    commands.register(app)
app.add_typer(documents.app, name="documents")
app.add_typer(tenants.app, name="tenants")
app.add_typer(dlq.app, name="dlq")
app.add_typer(feedback.app, name="feedback")
app.add_typer(drift.app, name="drift")
app.add_typer(review.app, name="review")
app.add_typer(source_records.app, name="sources")
app.add_typer(generation.app, name="generation")
app.add_typer(privacy.app, name="privacy")
app.add_typer(admin.app, name="admin")


def main() -> None:
    """Runs a command; failures are one line of what is wrong and one of what to do, never a traceback."""
    try:
        app()
    except CommandError as error:
        _say(str(error), error.hint)
        sys.exit(error.exit_code)
    except HeadwaterError as error:
        retry = f"Try again in {error.retry_after_seconds:.1f} s." if error.retry_after_seconds else ""
        _say(f"{error.message} ({error.reason})", retry)
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _say(problem: str, hint: str) -> None:
    errors.print(f"error: {problem}", style="red", markup=False)
    if hint:
        errors.print(hint, markup=False)
