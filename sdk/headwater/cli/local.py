"""``up``, ``down``, ``status``: the stack of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from headwater.cli import stack
from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption, TargetOption, TenantOption, connect, identity_of
from headwater.cli.output import console, errors, plain, print_json, table
from headwater.errors import HeadwaterError
from headwater.types import IngestStatus, OpenChange

PortBase = Annotated[int, typer.Option("--port-base", help="First port; 0 takes free ones.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    data: DataOption = DEFAULT_DATA, port_base: PortBase = stack.DEFAULT_PORT_BASE, json: JsonOption = False
) -> None:
    """Start the five services on this machine and wait until they are ready.

    Example:  headwater up --data ./my-data
    """
    with errors.status("starting five services") as spinner:
        ready: list[str] = []

        def on_ready(service: str, seconds: float) -> None:
            ready.append(f"{service} {seconds:.1f} s")
            spinner.update("ready: " + ", ".join(ready))

        endpoints = stack.start(data, port_base=port_base, on_ready=on_ready)
    with connect(endpoints.grpc["gateway"], data, identity_of("default")) as client:
        client.create_tenant("default")
    if json:
        print_json({"data": str(data.resolve()), **plain(endpoints)})
        return
    console.print("Headwater is up.", style="green")
    console.print(f"  gRPC   {endpoints.grpc['gateway']}")
    console.print(f"  HTTP   http://{endpoints.gateway_http}   (OpenAPI at /openapi.json)")
    console.print(f"  data   {data.resolve()}")
    console.print('Next:  headwater ingest PATH    headwater ask "…"    headwater status    headwater down')


def down(data: DataOption = DEFAULT_DATA, json: JsonOption = False) -> None:
    """Stop the services of this data directory; what was accepted stays and is finished after the next start.

    Example:  headwater down --data ./my-data
    """
    with errors.status("stopping"):
        stopped = stack.stop(data)
    if json:
        print_json({"stopped": stopped})
    else:
        console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


def status(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    tenant: TenantOption = "default",
    all_open: Annotated[bool, typer.Option("--open", help="List every open change, not the five oldest.")] = False,
    json: JsonOption = False,
) -> None:
    """Services, lag, counts by state, halts, what is still open (since when, and why) and the newest dead letters.

    Example:  headwater status --open
    """
    ingest: IngestStatus | None = None
    problem = ""
    try:
        with connect(target, data, identity_of(tenant)) as client:
            ingest = client.ingest_status(list_limit=5)
            if all_open:
                ingest = replace(ingest, open=tuple(client.open_changes()))
    except HeadwaterError as error:
        problem = f"{error.message} ({error.reason})"
    services = {service: stack.pid_of(data, service) for service in stack.SERVICES}
    if json:
        memory = {name: stack.resident_bytes(pid) if pid else 0 for name, pid in services.items()}
        print_json({"services": services, "rss_bytes": memory, "ingest": ingest, "problem": problem})
    else:
        _print_services(data, services)
        if ingest is not None:
            _print_ingest(ingest)
        else:
            console.print(f"ingestion: {problem}", style="red")
    if ingest is None:
        raise typer.Exit(5)


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _why(item: OpenChange) -> str:
    change = item.change
    match item.cause:
        case "retrying":
            return f"is tried again: {change.reason}, attempt {change.attempts}"
        case "halted":
            return "is held back: the workers are halted"
        case "replayed":
            return f"waits in the log, to be tried again ({change.reason} before)"
        case _:
            return "waits in the log"


def _print_services(data: Path, services: dict[str, int | None]) -> None:
    rows = table("service", "state", "pid", "memory", right=("pid", "memory"))
    for service, pid in services.items():
        memory = f"{stack.resident_bytes(pid) / 2**20:.0f} MiB" if pid else ""
        rows.add_row(service, "running" if pid else "not running here", str(pid or ""), memory)
    console.print(rows)


def _print_ingest(status: IngestStatus) -> None:
    console.print(
        f"\n{status.live_documents} documents, {status.live_chunks} chunks live · lag {status.lag}"
        f"{f' ({status.bulk_lag} of it bulk)' if status.bulk_lag else ''} · "
        f"generation {status.generation or 'none yet'}"
    )
    counts = status.change_counts
    console.print("changes: " + (", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"))
    for halt in status.halts:
        console.print(
            f"  HALTED since {halt.since:%Y-%m-%d %H:%M:%S}: {halt.worker} refuses a built-in document"
            f" ({halt.reason}): {halt.message}. It goes on by itself once it can read it; see 'headwater dlq resume'.",
            style="red",
            markup=False,
        )
    for item in status.open:
        console.print(f"  open for {_age(item.age_seconds)}: {item.change.document_id} {_why(item)}", markup=False)
    if status.open_dead_letters:
        console.print(
            f"  {status.open_dead_letters} open dead letters, all tenants: headwater dlq list", style="yellow"
        )
    for change in status.newest_dead_letters:
        console.print(
            f"  dead letter {change.document_id}: {change.reason} — {change.message}", style="yellow", markup=False
        )
