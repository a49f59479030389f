"""``review hold|release|holds``: documents that are kept out of everything that is served."""

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
from headwater.cli.output import console, print_json, table

app = typer.Typer(
    help="Documents that somebody has to look at. Needs the review or admin scope.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
DocumentArgument = Annotated[str, typer.Argument(help="The document's id.")]


@app.command()
def hold(
    document_id: DocumentArgument,
    reason: Annotated[str, typer.Option("--reason", help="For those who see the hold.")] = "",
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Keep a document out of every search and answer, for everybody, until it is released.

    Example:  headwater review hold prices.md --reason "two prices for one pump"
    """
    with connect(target, data, identity_of(tenant, user, group)) as client:
        held = client.hold_document(document_id, reason)
    if json:
        print_json(held)
        return
    console.print(f"{document_id} is on hold since {held.since:%Y-%m-%d %H:%M:%S}.", markup=False)


@app.command()
def release(
    document_id: DocumentArgument,
    version: Annotated[int, typer.Option("--version", help="Only if this is still its version.")] = 0,
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """End a hold.

    Example:  headwater review release prices.md
    """
    with connect(target, data, identity_of(tenant, user, group)) as client:
        client.release_document(document_id, document_version=version)
    console.print(f"{document_id} is released.", markup=False)


@app.command()
def holds(
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """List documents on hold.

    Example:  headwater review holds
    """
    with connect(target, data, identity_of(tenant, user, group)) as client:
        found = list(client.holds())
    if json:
        print_json(found)
        return
    rows = table("document", "since", "held by", "reason", "title")
    for each in found:
        rows.add_row(each.document_id, f"{each.since:%Y-%m-%d %H:%M}", each.held_by, each.reason, each.title)
    console.print(rows)
