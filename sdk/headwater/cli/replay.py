"""``replay``."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.text import Text

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
from headwater.cli.output import console, print_json, table
from headwater.replays import ReplayedAnswer

_STYLES: Final = {"same": "green", "differs": "yellow", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(replay)


def replay(
    answer_id: Annotated[str, typer.Argument(help="Id of a logged answer.")],
    question: Annotated[
        str, typer.Option("--question", help="The question as it was sent, where the log does not keep it.")
    ] = "",
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    as_user: UserOption = "developer",
    as_group: GroupOption = None,
    json: JsonOption = False,
) -> None:
    """Make a logged answer again from its record, and say which stages come out otherwise and why. Your own answers;
    with the scope review or admin, those of your tenant.

    Example:  headwater replay 3f2c8a…
    """
    with connect(target, data, identity_of(tenant, as_user, as_group)) as client:
        made = client.replay_answer(answer_id, question=question)
    if json:
        print_json(made)
        return
    print_replay(made)


def print_replay(made: ReplayedAnswer) -> None:
    """The first difference, then every stage."""
    asked = f"{made.answered_at:%Y-%m-%d %H:%M} UTC"
    if made.first_difference:
        first = next(each for each in made.stages if each.name == made.first_difference)
        console.print(f"The answer of {asked} first differs in {first.name}:", style="bold")
        for reason in first.reasons:
            console.print(f"  {reason}", markup=False)
    else:
        console.print(f"The answer of {asked} comes out the same.", style="bold")
    rows = table("stage", "", "why")
    for stage in made.stages:
        rows.add_row(stage.name, Text(stage.verdict, _STYLES[stage.verdict]), "\n".join(stage.reasons))
    console.print(rows)
    for note in made.notes:
        console.print(note, style="dim")
    if not made.deterministic:
        console.print("The generator is a language model: it may write otherwise each time.", style="dim")
