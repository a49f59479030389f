"""``feedback ANSWER_ID``, ``feedback report|export``: what readers think of answers."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headwater.cli.context import (
    DEFAULT_DATA,
    DataOption,
    GroupOption,
    JsonOption,
    TargetOption,
    TenantOption,
    UserOption,
    connect,
    identity_of,
)
from headwater.cli.output import console, plain, print_json, table
from headwater.cli.problems import CommandError
from headwater.feedback import REASONS

_GIVE = "give"

DaysOption = Annotated[
    float | None, typer.Option("--days", min=0, help="Only answers of so many days; default: all that are kept.")
]


class GiveByDefault(TyperGroup):
    """``feedback ID --up`` is ``feedback give ID --up``: ids of answers are no names of commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names, else ``give``."""
        if args and args[0] not in self.commands:
            args = [_GIVE, *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=GiveByDefault,
    help="What readers think of answers: headwater feedback ANSWER_ID --up, or --down with a reason. Report and export"
    " need the review or admin scope.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(name=_GIVE)
def give(
    answer_id: Annotated[str, typer.Argument(help="Id of an answer that you were given.")],
    up: Annotated[bool, typer.Option("--up", help="It was good.")] = False,
    down: Annotated[bool, typer.Option("--down", help="It was bad.")] = False,
    reason: Annotated[str, typer.Option("--reason", help=f"With --down: {', '.join(REASONS)}.")] = "",
    corrected: Annotated[str, typer.Option("--corrected", help="What it should have been.")] = "",
    comment: Annotated[str, typer.Option("--comment", help="Words to whoever reviews.")] = "",
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Say what you think of an answer; again, to replace what you said before.

    Example:  headwater feedback 3f2c8a… --down --reason outdated --corrected "It is 200 since 3.2."
    """
    if up == down:
        raise CommandError("Say --up or --down.", hint=f"headwater feedback {answer_id} --up")
    if reason and reason not in REASONS:
        raise CommandError(f"--reason {reason}: there is no such reason.", hint=f"One of {', '.join(REASONS)}.")
    with connect(target, data, identity_of(tenant, user, group)) as client:
        client.give_feedback(answer_id, good=up, reason=reason, corrected=corrected, comment=comment)
    console.print("Noted.")


@app.command()
def report(
    days: DaysOption = None,
    most: Annotated[int, typer.Option("--most", min=1, max=100, help="Documents and questions, at most.")] = 20,
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Show the documents whose answers fared worst, and the questions that nothing answered.

    Example:  headwater feedback report --days 7
    """
    with connect(target, data, identity_of(tenant, user, group)) as client:
        found = client.feedback_report(since=_since(days), most=most)
    if json:
        print_json(found)
        return
    console.print(f"{found.good} good, {found.bad} bad{_reasons(found.reasons, ': ')}")
    if found.documents:
        rows = table("worst documents", "bad", "of", "rate", "reasons", right=("bad", "of", "rate"))
        for each in found.documents:
            rows.add_row(
                each.document_id, str(each.bad), str(each.good + each.bad), f"{each.rate:.2f}", _reasons(each.reasons)
            )
        console.print(rows)
    if found.unanswered:
        asked = table("unanswered questions", "times", "last", right=("times",))
        for group_ in found.unanswered:
            asked.add_row(group_.question, str(group_.times), f"{group_.last_asked_at:%Y-%m-%d %H:%M:%S}")
        console.print(asked)
    if found.truncated:
        console.print("There are more answers than one report looks at: --days for fewer.")


@app.command()
def export(
    days: DaysOption = None,
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write rated answers as JSON Lines: question, cited documents and chunks, label, reason, correction.

    Example:  headwater feedback export --days 30 > rated.jsonl
    """
    with connect(target, data, identity_of(tenant, user, group)) as client:
        for row in client.export_tuning_data(since=_since(days)):
            console.file.write(jsonlib.dumps(plain(row), ensure_ascii=False) + "\n")


def _since(days: float | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) - timedelta(days=days)


def _reasons(reasons: Mapping[str, int], before: str = "") -> str:
    text = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return before + text if text else ""
