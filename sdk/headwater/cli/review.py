"""``review list|show|approve|edited|reject|hold|release|holds``: documents that somebody has to look at."""

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
from headwater.cli.problems import CommandError
from headwater.reviews import Decision

app = typer.Typer(
    help="Documents that somebody has to look at. Needs the review or admin scope.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
DocumentArgument = Annotated[str, typer.Argument(help="The document's id.")]


ReviewArgument = Annotated[str, typer.Argument(help="Id of a review, as the list names it.")]
NoteOption = Annotated[str, typer.Option("--note", help="Why; it is kept.")]


@app.command(name="list")
def list_reviews(
    everything: Annotated[bool, typer.Option("--all", help="Also what was decided.")] = False,
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """List documents that wait for a reviewer, what was raised last first.

    Example:  headwater review list
    """
    with connect(target, data, identity_of(tenant, user, group)) as client:
        found = list(client.reviews(None if everything else "open"))
    if json:
        print_json(found)
        return
    rows = table("review", "document", "version", "reason", "detail", "raised", "state", right=("version",))
    for each in found:
        rows.add_row(
            each.review_id,
            each.document_id,
            str(each.document_version),
            each.reason + (" (held)" if each.holds and each.state == "open" else ""),
            each.detail,
            f"{each.raised_at:%Y-%m-%d %H:%M}",
            each.state,
        )
    console.print(rows)


@app.command()
def show(
    review_id: ReviewArgument,
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show one review as JSON, decided or not.

    Example:  headwater review show 3f2c8a…
    """
    with connect(target, data, identity_of(tenant, user, group)) as client:
        found = next((each for each in client.reviews(None) if each.review_id == review_id), None)
    if found is None:
        raise CommandError(f"{review_id}: there is no such review.", hint="headwater review list --all")
    print_json(found)


def _decide(decision: Decision, example: str) -> None:
    def command(
        review_id: ReviewArgument,
        note: NoteOption = "",
        tenant: TenantOption = "default",
        user: UserOption = "developer",
        group: GroupOption = None,
        target: TargetOption = None,
        data: DataOption = DEFAULT_DATA,
        json: JsonOption = False,
    ) -> None:
        with connect(target, data, identity_of(tenant, user, group)) as client:
            decided = client.decide_review(review_id, decision, note)
        if json:
            print_json(decided)
            return
        console.print(f"{decided.document_id}: {decided.reason} {decided.state}.", markup=False)

    name, what = example.split(": ")
    app.command(name=name, help=f"{what}\n\nExample:  headwater review {name} 3f2c8a…")(command)


_decide("approved", "approve: The version is good; what a rule holds is released.")
_decide("edited", "edited: The document was mended and put anew; what a rule holds is released.")
_decide("rejected", "reject: The document is put on hold until somebody releases or deletes it.")


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
