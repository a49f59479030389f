"""``privacy reveal|keys|rotate``: what pseudonyms stand for, and the keys of the vault."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

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
from headwater.cli.problems import EXIT_PARTIAL

app = typer.Typer(
    help="Pseudonyms: what they stand for needs the reveal scope, keys of the vault the admin scope.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def reveal(
    document_id: Annotated[str, typer.Argument(help="A document that holds them and that you may read.")],
    pseudonyms: Annotated[list[str], typer.Argument(help="Such as [EMAIL_kdfgtrsnbbcqlmpj], brackets or not.")],
    tenant: TenantOption = "default",
    user: UserOption = "developer",
    group: GroupOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Say what pseudonyms of a document stand for. The call is logged, without the values.

    Example:  headwater privacy reveal contracts/17.pdf EMAIL_kdfgtrsnbbcqlmpj
    """
    identity = identity_of(tenant, user, group)
    identity = replace(identity, scopes=(*identity.scopes, "reveal"))
    wanted = [f"[{each.strip('[]')}]" for each in pseudonyms]
    with connect(target, data, identity) as client:
        found = client.reveal_pseudonyms([document_id], wanted)
    if json:
        print_json(found)
    else:
        for each in found:
            # A value is printed as it is: brackets in it are no markup.
            console.print(Text(f"{each.pseudonym}  {each.value}"), soft_wrap=True)
    if len(found) < len(set(wanted)):
        raise typer.Exit(EXIT_PARTIAL)


@app.command()
def keys(target: TargetOption = None, data: DataOption = DEFAULT_DATA, json: JsonOption = False) -> None:
    """Show the keys of the vault, and how many records each has sealed.

    Example:  headwater privacy keys
    """
    with connect(target, data, identity_of("default")) as client:
        found = client.vault_keys()
    if json:
        print_json(found)
        return
    rows = table("key", "records", "")
    for key in found:
        state = "newest" if key.newest else "" if key.known else "missing: its records can't be read"
        rows.add_row(key.key_id, str(key.records), state)
    console.print(rows)


@app.command()
def rotate(target: TargetOption = None, data: DataOption = DEFAULT_DATA, json: JsonOption = False) -> None:
    """Seal everything in the vault with its newest key; afterwards older keys may be removed.

    Example:  headwater privacy rotate
    """
    with connect(target, data, identity_of("default")) as client:
        resealed = client.rotate_vault()
    if json:
        print_json({"resealed": resealed})
    else:
        console.print(f"{resealed} records are sealed with the newest key now. Check:  headwater privacy keys")
