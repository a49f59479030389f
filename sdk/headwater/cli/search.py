"""``search``."""

from __future__ import annotations

import json as json_library
from typing import Annotated, Any, Literal

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
from headwater.cli.output import console, place, print_json, stages_line, table
from headwater.cli.problems import CommandError
from headwater.types import Hit, SearchResult

FilterOption = Annotated[
    str, typer.Option("--filter", help='Metadata filter, for instance {"language":"python","year":{"$gte":2024}}.')
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(search)


def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 5,
    filter: FilterOption = "",
    rerank: Annotated[str, typer.Option("--rerank", help="auto, on or off.")] = "auto",
    explain: Annotated[bool, typer.Option("--explain", help="Show every part of each score.")] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    as_user: UserOption = "developer",
    as_group: GroupOption = None,
    json: JsonOption = False,
) -> None:
    """Find passages the caller may read.

    Example:  headwater search "how do I rotate a certificate" -k 3 --as-group engineering --explain
    """
    with connect(target, data, identity_of(tenant, as_user, as_group)) as client:
        result = client.search(text, k=k, filter=parse_filter(filter), rerank=parse_rerank(rerank), explain=explain)
    if json:
        print_json(result)
        return
    _print(result)


def parse_filter(text: str) -> dict[str, Any] | None:
    """A filter from JSON. Raises CommandError."""
    if not text:
        return None
    try:
        parsed = json_library.loads(text)
    except json_library.JSONDecodeError as error:
        raise CommandError(
            f"--filter is not JSON: {error.msg} at character {error.pos}.", hint='Write it as {"language": "python"}.'
        ) from None
    if not isinstance(parsed, dict):
        raise CommandError("--filter must be a JSON object.", hint='Write it as {"language": "python"}.')
    return parsed


def parse_rerank(text: str) -> Literal["auto", "on", "off"]:
    """The rerank choice. Raises CommandError."""
    match text:
        case "auto" | "on" | "off":
            return text
    raise CommandError("--rerank is auto, on or off.")


def _print(result: SearchResult) -> None:
    if not result.hits:
        console.print("Nothing that you may read matches.")
    for number, hit in enumerate(result.hits, start=1):
        console.print(f"{number}. {hit.score:.3f}  {hit.document_id}", style="bold", markup=False)
        console.print(f"   {place(hit.location, hit.title)}", style="dim", markup=False)
        console.print("   " + " ".join(hit.text.split())[:280], markup=False)
        if hit.explanation:
            _print_explanation(hit)
    if result.degraded:
        console.print(f"degraded: answered without {', '.join(result.degraded)}", style="yellow")
    console.print(stages_line(result.stages))


def _print_explanation(hit: Hit) -> None:
    explanation = hit.explanation
    if explanation is None:
        return
    rows = table("leg", "rank", "raw", "normalised", "weight", right=("rank", "raw", "normalised", "weight"))
    for leg in explanation.legs:
        rows.add_row(leg.leg, str(leg.rank or "–"), f"{leg.raw:.3f}", f"{leg.normalised:.3f}", f"{leg.weight:.2f}")
    console.print(rows, style="dim")
    rerank = "" if explanation.rerank is None else f" · rerank {explanation.rerank:.3f}"
    if explanation.feedback:
        console.print(f"   moved towards {explanation.feedback}", style="dim", markup=False)
    console.print(
        f"   fused {explanation.fused:.3f} · match {explanation.match:.3f} · freshness "
        f"{explanation.freshness:.3f} · structure {explanation.structure:.3f} · "
        f"adjusted {explanation.adjusted:.3f}{rerank} · final {explanation.final:.3f}",
        style="dim",
    )
