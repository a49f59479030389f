"""``documents list|show|delete|set-access|versions|rollback``."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption, TargetOption, TenantOption, connect, identity_of
from headwater.cli.output import console, print_json, table
from headwater.cli.problems import EXIT_CHECK_FAILED, CommandError
from headwater.client import Client
from headwater.types import Receipt

app = typer.Typer(help="Look at documents and change them.", no_args_is_help=True, rich_markup_mode=None)
DocumentArgument = Annotated[str, typer.Argument(help="The document's id.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the change is applied.")]


@app.command(name="list")
def list_documents(
    prefix: Annotated[str, typer.Option("--prefix", help="Only ids that begin with this.")] = "",
    include_deleted: Annotated[bool, typer.Option("--deleted", help="Deleted ones as well.")] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """List documents in the order of their ids.

    Example:  headwater documents list --prefix handbook/
    """
    with connect(target, data, identity_of(tenant)) as client:
        found = client.list_documents(prefix=prefix, include_deleted=include_deleted)
        if json:
            print_json(list(found))
            return
        rows = table("document", "type", "lang", "chunks", "updated", "readers", "title", right=("chunks",))
        for item in found:
            state = "" if item.state == "live" else f" ({item.state})"
            rows.add_row(
                item.document_id + state,
                item.doc_type,
                item.language,
                str(item.chunks),
                f"{item.updated_at:%Y-%m-%d}",
                ", ".join(item.readers) or "nobody",
                item.title,
            )
    console.print(rows)


@app.command()
def show(
    document_id: DocumentArgument,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """Show a document's live state and what became of its newest changes.

    Example:  headwater documents show handbook.md
    """
    with connect(target, data, identity_of(tenant)) as client:
        document = client.get_document(document_id)
    if json:
        print_json(document)
        return
    rows = table("", "")
    for name in ("document_id", "state", "version", "title", "doc_type", "uri", "language", "chunks", "size_bytes"):
        rows.add_row(name, str(getattr(document, name)))
    rows.add_row("readers", ", ".join(document.readers) or "nobody")
    rows.add_row("metadata", str(dict(document.metadata)))
    rows.add_row("ingest trace", document.ingest_trace_id)
    console.print(rows)
    changes = table("version", "change", "state", "accepted", "reason", right=("version",))
    for change in document.changes:
        changes.add_row(
            str(change.version), change.kind, change.state, f"{change.accepted_at:%Y-%m-%d %H:%M:%S}", change.reason
        )
    console.print(changes)


@app.command()
def delete(
    document_ids: Annotated[list[str], typer.Argument(help="Ids of the documents.")],
    wait: WaitOption = True,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """Delete documents.

    Example:  headwater documents delete old-handbook.md
    """
    with connect(target, data, identity_of(tenant)) as client:
        _finish(client, [client.delete_document(document_id) for document_id in document_ids], wait, json)


@app.command()
def set_access(
    document_id: DocumentArgument,
    group: Annotated[list[str] | None, typer.Option("--group", help="A group that may read; repeatable.")] = None,
    user: Annotated[list[str] | None, typer.Option("--user", help="A user who may read; repeatable.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Everybody in the tenant may read.")] = False,
    level: Annotated[int, typer.Option("--level", help="Least clearance that is needed.")] = 0,
    wait: WaitOption = True,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """Replace who may read a document; without any option nobody may.

    Example:  headwater documents set-access salaries.xlsx --group hr --group finance
    """
    with connect(target, data, identity_of(tenant)) as client:
        receipt = client.set_document_access(document_id, readers(group, user, public), security_level=level)
        _finish(client, [receipt], wait, json)


@app.command()
def versions(
    document_id: DocumentArgument,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """List the versions of a document whose content is still kept, newest first.

    Example:  headwater documents versions handbook.md
    """
    with connect(target, data, identity_of(tenant)) as client:
        kept = client.document_versions(document_id)
    if json:
        print_json(kept)
        return
    rows = table("version", "state", "chunks", "title", right=("version", "chunks"))
    for each in kept:
        state = "served" if each.served else "can be restored" if each.restorable else "never served"
        rows.add_row(str(each.version), state, str(each.chunks), each.title)
    console.print(rows)


@app.command()
def rollback(
    document_id: DocumentArgument,
    to: Annotated[int, typer.Option("--to", help="Version to go back to; default: the one before.")] = 0,
    wait: WaitOption = True,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """Give a document the content of an earlier version, as a new version. Who may read it stays as it is.

    Example:  headwater documents rollback handbook.md
    """
    with connect(target, data, identity_of(tenant)) as client:
        made = client.roll_back_document(document_id, to)
        if not json:
            console.print(f"{document_id}: content of version {made.restored_version}", markup=False)
            if made.without_readers:
                console.print("Nobody may read it as it is: headwater documents set-access names readers.")
        _finish(client, [made.receipt], wait, json)


def readers(groups: list[str] | None, users: list[str] | None, public: bool) -> list[str]:
    """Principals from options."""
    return [
        *(f"group:{name}" for name in groups or ()),
        *(f"user:{name}" for name in users or ()),
        *(["public"] if public else []),
    ]


def _finish(client: Client, receipts: list[Receipt], wait: bool, json: bool) -> None:
    changes = client.wait_until_applied() if wait else {}
    if json:
        print_json({"receipts": receipts, "changes": changes})
    else:
        for receipt in receipts:
            change = changes.get(receipt.event_id)
            state = "unchanged" if receipt.unchanged else change.state if change else "accepted"
            console.print(f"{receipt.document_id}: {state} (version {receipt.version})", markup=False)
    if any(change.state == "dead_lettered" for change in changes.values()):
        raise CommandError("A change was refused.", hint="headwater documents show ID", exit_code=EXIT_CHECK_FAILED)
