"""``cost``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

import typer

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
from headwater.cli.problems import EXIT_USAGE, CommandError
from headwater.costs import CostGrouping, CostRow, QueryCost

GROUPINGS: Final[tuple[CostGrouping, ...]] = ("stage", "tenant", "user")
_AGO: Final = re.compile(r"(\d{1,4})d")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(cost)


def cost(
    since: Annotated[str, typer.Option("--since", help="First day, in UTC: 2026-11-01, or 7d for days ago.")] = "",
    until: Annotated[str, typer.Option("--until", help="Last day, in UTC.")] = "",
    by: Annotated[str, typer.Option("--by", help=f"One of: {', '.join(GROUPINGS)}.")] = "stage",
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant; needs the admin scope.")] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    as_user: UserOption = "developer",
    json: JsonOption = False,
) -> None:
    """What questions came to, by stage and by tenant or user. Today's without --since. Needs the write scope, and the
    admin scope for users and other tenants.

    Example:  headwater cost --since 7d --by user
    """
    wanted = next((each for each in GROUPINGS if each == by), None)
    if wanted is None:
        raise CommandError(f"--by {by}: there is no such grouping.", hint=f"One of: {', '.join(GROUPINGS)}.")
    period = {"since": day_of(since), "until": day_of(until)}
    with connect(target, data, identity_of(tenant, as_user)) as client:
        report = client.cost_report(wanted, all_tenants=all_tenants, **period)
    if json:
        print_json(report)
        return
    print_rows(report.rows, wanted)
    console.print(f"{report.since} to {report.until}, UTC", style="dim")


def day_of(text: str) -> date | None:
    """The day that an option means; None for one that is not given."""
    if not text:
        return None
    ago = _AGO.fullmatch(text)
    try:
        return datetime.now(UTC).date() - timedelta(days=int(ago[1])) if ago else date.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{text} is no day.", hint="Write 2026-11-01, or 7d for seven days ago.", exit_code=EXIT_USAGE
        ) from None


def print_rows(rows: Sequence[CostRow], by: CostGrouping) -> None:
    """A table, and sums by currency. What has no price is said, not counted as nothing."""
    if not rows:
        console.print("No costs were recorded.")
        return
    names = {"stage": (), "tenant": ("tenant",), "user": ("tenant", "user")}[by]
    shown = table(*names, "stage", "questions", "quantity", "cost", right=("questions", "quantity", "cost"))
    for row in rows:
        who = (row.tenant_id, row.subject)[: len(names)]
        shown.add_row(*who, row.stage, str(row.questions), f"{row.quantity:,} {row.unit}", _amount(row))
    console.print(shown)
    charged = [row for row in rows if row.stage != "cache_savings"]
    for currency in sorted({row.currency for row in charged if row.amount}):
        total = sum(row.amount for row in charged if row.currency == currency)
        console.print(f"total {total:f} {currency}")
    if any(row.unpriced for row in rows):
        console.print("Some prices are not known: the total is more than that.", style="yellow")


def cost_line(cost: QueryCost) -> str:
    """What a question came to, on one line."""
    used = [
        f"{each.stage} {each.quantity} {each.unit} "
        + ("(price unknown)" if each.amount is None else f"{each.amount:f}")
        for each in cost.stages
        if each.quantity
    ]
    total = f"{cost.total:f} {cost.currency}".rstrip() if cost.complete else f"at least {cost.total:f} {cost.currency}"
    return "  cost " + " · ".join([total.rstrip(), *used])


def _amount(row: CostRow) -> str:
    if row.unpriced == row.quantity and row.quantity:
        return "unknown"
    return f"{'> ' if row.unpriced else ''}{row.amount:f} {row.currency}"
