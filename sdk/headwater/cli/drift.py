"""``drift`` and ``drift reference``."""

from __future__ import annotations

from typing import Final

import typer
from rich.text import Text

from headwater.cli.context import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    TargetOption,
    TenantOption,
    UserOption,
    connect,
    identity_of,
)
from headwater.cli.output import console, print_json, table
from headwater.drift import DriftReport

_STYLES: Final = {"stable": "green", "moderate": "yellow", "large": "red"}

app = typer.Typer(
    help="Whether questions and answers are still what they were: headwater drift; needs the admin scope.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def drift(
    context: typer.Context,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    as_user: UserOption = "developer",
    json: JsonOption = False,
) -> None:
    """Compare the last answers with the reference: population stability index of each signal, and rates.

    Example:  headwater drift --json
    """
    if context.invoked_subcommand is not None:
        return
    with connect(target, data, identity_of(tenant, as_user)) as client:
        _show(client.drift_report(), json)


@app.command()
def reference(
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    as_user: UserOption = "developer",
    json: JsonOption = False,
) -> None:
    """Make the last answers the reference, in place of the one before.

    Example:  headwater drift reference
    """
    with connect(target, data, identity_of(tenant, as_user)) as client:
        _show(client.take_drift_reference(), json)


def _show(report: DriftReport, json: bool) -> None:
    if json:
        print_json(report)
        return
    print_drift(report)


def print_drift(report: DriftReport) -> None:
    """A table, the largest drift first."""
    if not report.window:
        console.print("Drift is not watched here: the gateway's setting drift_window is 0.")
        return
    if report.taken_at is None:
        console.print(f"No reference yet: {report.window_answers} of {report.window} answers.")
        return
    rows = table("signal", "index", "chance", "then", "now", "values", "", right=("index", "chance", "then", "now"))
    for each in sorted(report.signals, key=lambda each: -(each.index or 0.0)):
        index = "–" if each.index is None else f"{each.index:.3f}"
        state = Text(each.state, _STYLES.get(each.state, "dim"))
        rows.add_row(
            each.signal,
            index,
            f"{each.chance:.3f}",
            f"{each.reference:.3f}",
            f"{each.now:.3f}",
            str(each.values),
            state,
        )
    console.print(rows)
    console.print(
        f"{report.window_answers} answers against {report.reference_answers} of {report.taken_at:%Y-%m-%d %H:%M} UTC",
        style="dim",
    )
