"""``tenants list|create|delete``."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption, TargetOption, connect, identity_of
from headwater.cli.output import console, print_json, table
from headwater.cli.problems import CommandError

app = typer.Typer(help="Administer tenants.", no_args_is_help=True, rich_markup_mode=None)
FIELD_TYPES = ("string", "number", "boolean", "timestamp", "version", "string_list", "number_list")


@app.command(name="list")
def list_tenants(target: TargetOption = None, data: DataOption = DEFAULT_DATA, json: JsonOption = False) -> None:
    """List tenants with their declared metadata fields.

    Example:  headwater tenants list
    """
    with connect(target, data, identity_of("default")) as client:
        found = client.list_tenants()
    if json:
        print_json(found)
        return
    rows = table("tenant", "declared fields")
    for tenant in found:
        rows.add_row(tenant.tenant_id, ", ".join(f"{name}: {kind}" for name, kind in tenant.fields.items()))
    console.print(rows)


@app.command()
def create(
    tenant_id: Annotated[str, typer.Argument(help="Name: a-z, 0-9 and -.")],
    field: Annotated[
        list[str] | None, typer.Option("--field", help=f"name=type; types: {', '.join(FIELD_TYPES)}. Repeatable.")
    ] = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Create a tenant, or declare more filterable metadata fields for it.

    Example:  headwater tenants create acme --field product=string --field release=version
    """
    fields: dict[str, str] = {}
    for item in field or ():
        name, separator, kind = item.partition("=")
        if not separator or kind not in FIELD_TYPES:
            raise CommandError(f"--field {item}: write name=type.", hint=f"Types: {', '.join(FIELD_TYPES)}")
        fields[name] = kind
    with connect(target, data, identity_of("default")) as client:
        tenant = client.create_tenant(tenant_id, fields)
    if json:
        print_json(tenant)
    else:
        console.print(f"Tenant {tenant.tenant_id} declares: {', '.join(tenant.fields) or 'no fields of its own'}.")


@app.command()
def delete(
    tenant_id: Annotated[str, typer.Argument(help="Name of the tenant.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Remove a tenant with everything it holds. There is no way back.

    Example:  headwater tenants delete acme --yes
    """
    if not yes:
        typer.confirm(f"Remove tenant {tenant_id} with all its documents?", abort=True)
    with connect(target, data, identity_of("default")) as client:
        client.delete_tenant(tenant_id)
    console.print(f"Tenant {tenant_id} is gone.")
