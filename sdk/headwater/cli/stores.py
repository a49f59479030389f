"""``audit`` and ``rebuild``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeVar

import typer

from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption, TargetOption, connect, identity_of
from headwater.cli.output import console, print_json, progress, table
from headwater.cli.problems import EXIT_CHECK_FAILED, EXIT_USAGE, CommandError
from headwater.client import Client
from headwater.stores import AuditReport, RebuildResult, StageProgress, StoreChoice

T = TypeVar("T", AuditReport, RebuildResult)

REBUILDABLE: tuple[StoreChoice, ...] = ("vector", "lexical", "heads")
SHOWN = 20
"""Differences that people are shown."""

TenantsOption = Annotated[
    list[str] | None, typer.Option("--tenant", envvar="HEADWATER_TENANT", help="Tenant; repeatable. Default: all.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(audit)
    app.command()(rebuild)


def audit(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    tenant: TenantsOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Compare heads, chunks, both indexes and the object store while everything goes on. Exit code 1 while anything
    differs. Needs the admin scope.

    Example:  headwater audit --repair --tenant acme
    """
    reports: list[AuditReport] = []
    with connect(target, data, identity_of("default")) as client:
        for tenant_id in tenant or _all_tenants(client):
            reports.append(_watched(f"audit {tenant_id}", client.audit_stores(tenant_id, repair=repair), AuditReport))
    if json:
        print_json(reports)
    else:
        for report in reports:
            _print(report)
    if any(report.left or report.buckets_left for report in reports):
        hint = (
            "See 'unrepairable' above and docs/audit.md."
            if repair
            else "headwater audit --repair mends what can be mended."
        )
        raise CommandError("The stores differ.", hint=hint, exit_code=EXIT_CHECK_FAILED)


def rebuild(
    store: Annotated[str, typer.Argument(help=f"One of: {', '.join(REBUILDABLE)}.")],
    drop: Annotated[bool, typer.Option("--drop", help="Empty the index first, for one that can't be trusted.")] = False,
    tenant: TenantsOption = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Fill one store again from the others. Searches go on and name it as degraded; run it again if it was cut off.
    Needs the admin scope.

    Example:  headwater rebuild vector --tenant acme
    """
    wanted = next((each for each in REBUILDABLE if each == store), None)
    if wanted is None:
        raise CommandError(
            f"{store} can't be rebuilt.", hint=f"One of: {', '.join(REBUILDABLE)}.", exit_code=EXIT_USAGE
        )
    results: dict[str, RebuildResult] = {}
    with connect(target, data, identity_of("default")) as client:
        for tenant_id in tenant or _all_tenants(client):
            events = client.rebuild_store(tenant_id, wanted, drop=drop)
            results[tenant_id] = _watched(f"rebuild {wanted} of {tenant_id}", events, RebuildResult)
    if json:
        print_json(results)
    else:
        for tenant_id, result in results.items():
            _print_rebuilt(tenant_id, wanted, result)
    if any(result.audit.left or result.audit.buckets_left or result.lost for result in results.values()):
        raise CommandError(
            "Not everything could be rebuilt.", hint="docs/audit.md says what is needed.", exit_code=EXIT_CHECK_FAILED
        )


def _all_tenants(client: Client) -> list[str]:
    return [tenant.tenant_id for tenant in client.list_tenants()]


def _watched(title: str, events: Iterator[StageProgress | T], last: type[T]) -> T:
    """Shows progress until the last event."""
    with progress() as bars:
        bar = bars.add_task(title, total=None)
        for event in events:
            if isinstance(event, last):
                bars.update(bar, visible=False)
                return event
            assert isinstance(event, StageProgress)
            bars.update(bar, description=f"{title}: {event.stage}", completed=event.done)
    raise CommandError("The gateway ended the call without a result.", hint="Run it again: it goes on.")


def _print(report: AuditReport) -> None:
    seconds = (report.finished_at - report.started_at).total_seconds()
    rows = ", ".join(f"{count} {store}" for store, count in sorted(report.rows.items()))
    console.print(
        f"{report.tenant_id}: {report.documents} documents, rows {rows}; {report.buckets_listed} of {report.buckets} "
        f"buckets listed, {seconds:.1f} s"
    )
    left = {(each.kind, each.store): each.count for each in report.left}
    if not report.found:
        console.print("  no differences")
    else:
        found = table("difference", "store", "found", *(["left"] if report.repaired else []), right=("found", "left"))
        for each in report.found:
            after = [str(left.get((each.kind, each.store), 0))] if report.repaired else []
            found.add_row(each.kind, each.store, str(each.count), *after)
        console.print(found)
        for one in report.differences[:SHOWN]:
            where = one.object_key or f"{one.document_id} version {one.chunks_version} {one.chunk_id}"
            console.print(f"  {one.kind} in {one.store}: {where}")
    for reason, count in report.unrepairable.items():
        console.print(f"  unrepairable: {count} {reason}")
    if report.unsettled:
        console.print(f"  {report.unsettled} documents kept changing; nothing is said of them")
    if report.buckets_left:
        again = "audit again" if report.repaired else "repair (--repair) and audit again"
        console.print(f"  {report.buckets_left} more parts of the stores differ than one audit holds: {again}")


def _print_rebuilt(tenant_id: str, store: str, result: RebuildResult) -> None:
    console.print(f"{tenant_id}: {result.written} written to {store}, {result.documents} documents looked at")
    for document_id in result.without_readers:
        console.print(f"  without readers: {document_id}")
    for document_id in result.lost:
        console.print(f"  lost: {document_id}")
    _print(result.audit)
