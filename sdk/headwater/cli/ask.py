"""``ask``."""

from __future__ import annotations

from dataclasses import replace
from json import dumps
from typing import Annotated, Any

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
from headwater.cli.cost import cost_line
from headwater.cli.output import citation_line, console, print_json, stages_line
from headwater.cli.problems import CommandError
from headwater.cli.search import FilterOption, parse_filter
from headwater.cli.support import conflict_lines, support_lines
from headwater.client import Client
from headwater.types import Answer, Plan, Turn


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(ask)


def ask(
    question: Annotated[str, typer.Argument(help="The question.")] = "",
    answer_id: Annotated[str, typer.Option("--answer-id", help="Show a logged answer again.")] = "",
    filter: FilterOption = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show how the question was understood.")] = False,
    after: Annotated[
        list[str] | None, typer.Option("--after", help="Id of an earlier answer of the conversation; repeatable.")
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option("--collection", help="Search only this collection; repeatable.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Leave this stage of understanding out; repeatable.")
    ] = None,
    apply_filters: Annotated[
        bool, typer.Option("--apply-filters", help="Apply every filter that the question suggests.")
    ] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show what pseudonyms in the answer stand for; needs the reveal scope.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the answer cost.")] = False,
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
    identity = identity_of(tenant, as_user, as_group)
    if reveal:
        identity = replace(identity, scopes=(*identity.scopes, "reveal"))
    with connect(target, data, identity) as client:
        if answer_id:
            _replay(client, answer_id, json)
            return
        options = {
            "filter": parse_filter(filter),
            "history": [_turn(client, each) for each in after or ()],
            "collections": collection or (),
            "without": without or (),
            "apply_suggested_filters": apply_filters,
            "reveal": reveal,
        }
        if json:
            print_json(client.ask(question, **options))
            return
        answer = stream_answer(client, question, **options)
        if explain and answer.plan is not None:
            print_plan(answer.plan)
        if verbose and answer.cost is not None:
            console.print(cost_line(answer.cost), style="dim")


def _turn(client: Client, answer_id: str) -> Turn:
    logged = client.get_answer(answer_id)
    return Turn(logged.question, logged.answer.text)


def print_plan(plan: Plan) -> None:
    """How a question was understood."""
    rows = [("class", f"{plan.question_class} ({plan.class_confidence:.2f})")]
    if plan.rewritten_question:
        rows.append(("as", plan.rewritten_question))
    if plan.route is not None:
        searched = "searched" if plan.route.applied else "all searched"
        rows.append(("route", f"{', '.join(plan.route.collections)} ({plan.route.confidence:.2f}, {searched})"))
    if plan.k:
        rows.append(("k", str(plan.k)))
    rows += [("also", search) for search in plan.searches]
    for each in plan.suggested_filters:
        state = "applied" if each.applied else "not applied"
        rows.append(("filter", f"{dumps(each.filter)} from “{each.words}” ({state})"))
    rows += [("meaning", f"{each.label} [{each.citation}]") for each in plan.meanings]
    if plan.freshness_weight:
        rows.append(("freshness", f"{plan.freshness_weight:.2f}"))
    for name, value in rows:
        console.print(f"  {name:>9}  {value}", style="dim", markup=False, highlight=False)
    console.print(stages_line(plan.stages))


def stream_answer(client: Client, question: str, **options: Any) -> Answer:
    """Prints an answer as it comes, then its citations, confidence and stages. Options as ``AsyncClient.ask_stream``
    takes them."""
    final: Answer | None = None
    for event in client.ask_stream(question, **options):
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
    dated = answer.plan is not None and answer.plan.question_class == "time_sensitive"
    for citation in answer.citations:
        console.print(citation_line(citation))
        if dated and citation.readable:
            console.print(f"      as of {citation.updated_at:%Y-%m-%d}", style="dim")
    console.print(
        f"  confidence {answer.confidence:.2f} · {answer.outcome} · answer {answer.answer_id} "
        f"· trace {answer.trace_id}",
        style="dim",
    )
    for line in (*support_lines(answer), *conflict_lines(answer)):
        console.print(line)
    if answer.abstention_reason:
        console.print(f"  why: {answer.abstention_reason.replace('_', ' ')}", style="dim")
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
