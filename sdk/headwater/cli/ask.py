"""``ask``."""

from __future__ import annotations

from typing import Annotated

import typer

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
from headwater.cli.output import citation_line, console, print_json, stages_line
from headwater.cli.problems import CommandError
from headwater.cli.search import FilterOption, parse_filter
from headwater.client import Client
from headwater.types import Answer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(ask)


def ask(
    question: Annotated[str, typer.Argument(help="The question.")] = "",
    answer_id: Annotated[str, typer.Option("--answer-id", help="Show a logged answer again.")] = "",
    filter: FilterOption = "",
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    as_user: UserOption = "developer",
    as_group: GroupOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a question; the answer streams, with citations.

    Example:  headwater ask "How long is the warranty of a probe?"
    """
    if bool(question) == bool(answer_id):
        raise CommandError("Give either a question or --answer-id.", hint='For instance: headwater ask "…"')
    with connect(target, data, identity_of(tenant, as_user, as_group)) as client:
        if answer_id:
            _replay(client, answer_id, json)
        elif json:
            print_json(client.ask(question, filter=parse_filter(filter)))
        else:
            stream_answer(client, question, filter=parse_filter(filter))


def stream_answer(client: Client, question: str, *, filter: dict[str, object] | None = None) -> Answer:
    """Prints an answer as it comes, then its citations, confidence and stages."""
    final: Answer | None = None
    for event in client.ask_stream(question, filter=filter):
        if isinstance(event, str):
            console.print(event, end="", markup=False, soft_wrap=True)
        elif isinstance(event, Answer):
            final = event
    console.print()
    if final is None:
        raise CommandError("The answer ended early.", hint="Ask again; 'headwater status' shows what is wrong.")
    print_answer_details(final)
    return final


def print_answer_details(answer: Answer) -> None:
    """Citations, confidence and stages of an answer."""
    for citation in answer.citations:
        console.print(citation_line(citation))
    console.print(
        f"  confidence {answer.confidence:.2f} · {answer.outcome} · answer {answer.answer_id} "
        f"· trace {answer.trace_id}",
        style="dim",
    )
    if answer.refusal is not None:
        console.print(f"  refused: {answer.refusal.reason}, score {answer.refusal.score:.2f}", style="yellow")
    if answer.degraded:
        console.print(f"  degraded: answered without {', '.join(answer.degraded)}", style="yellow")
    console.print(stages_line(answer.stages))


def _replay(client: Client, answer_id: str, json: bool) -> None:
    logged = client.get_answer(answer_id)
    if json:
        print_json(logged)
        return
    console.print(f"{logged.question}  ({logged.answered_at:%Y-%m-%d %H:%M} UTC)", style="bold", markup=False)
    console.print(logged.answer.text, markup=False)
    if logged.redacted:
        console.print("Sentences were taken out: you may no longer read their source.", style="yellow")
    print_answer_details(logged.answer)
