"""``ingest``."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from headwater.aio import AsyncClient
from headwater.cli.context import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    TargetOption,
    TenantOption,
    connect_async,
    identity_of,
)
from headwater.cli.documents import readers
from headwater.cli.output import console, print_json, progress
from headwater.cli.problems import EXIT_PARTIAL, EXIT_UNAVAILABLE, CommandError
from headwater.cli.sources import NAME_REFUSED, Found, Source, find, printable
from headwater.errors import InvalidRequestError, OverloadedError, UnavailableError
from headwater.types import Change, Receipt

CALLS_AT_ONCE = 16
ASKED_AT_ONCE = 100
"""Open changes that one call asks about. Asking costs the service as much as a part of the work that is waited for."""
SHORT_PAUSE_SECONDS = 0.05
LONG_PAUSE_SECONDS = 0.25
"""Between two questions while much is open."""
LONGEST_STALL_SECONDS = 300.0
"""Without one change finishing for so long the command gives up waiting; the changes stay accepted."""


@dataclass(slots=True)
class Report:
    """What became of the documents of one run."""

    receipts: list[Receipt] = field(default_factory=list)
    changes: dict[str, Change] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    skipped: Sequence[str] = ()
    unchanged: int = 0
    """Documents that were not even sent, because they are known to be the same."""
    seconds: float = 0.0

    @property
    def failed(self) -> dict[str, str]:
        """Documents that are not searchable, with the reason of each."""
        dead = {
            change.document_id: f"{change.reason}: {change.message}"
            for change in self.changes.values()
            if change.state == "dead_lettered"
        }
        return {**self.refused, **dead}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(ingest)


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, globs, URLs of files, or - for standard input.")],
    sync: Annotated[bool, typer.Option("--sync", help="Also delete what vanished from the folders.")] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="With --sync: delete everything of a folder that holds nothing.")
    ] = False,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="A group that may read; repeatable. Default: everybody in the tenant."),
    ] = None,
    doc_type: Annotated[str, typer.Option("--doc-type", help="Document type, for instance guide.")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", help="k=v; repeatable. Numbers, true and false are recognised.")
    ] = None,
    id_prefix: Annotated[str, typer.Option("--id-prefix", help="Put in front of every document id.")] = "",
    bulk: Annotated[bool, typer.Option("--bulk", help="A backfill: never delays other changes.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is searchable.")] = True,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """Send documents through the event log and wait until they are searchable.

    Example:  headwater ingest ./handbook --sync --group staff --doc-type policy --metadata year=2026
    """
    found = find(paths, id_prefix)
    if sync and not found.prefixes:
        raise CommandError("--sync needs a folder.", hint="It deletes documents whose files vanished from that folder.")
    description = {
        "readers": readers(group, None, public=not group),
        "doc_type": doc_type,
        "metadata": dict(key_value(item) for item in metadata or ()),
        "bulk": bulk,
    }

    async def work() -> Report:
        async with connect_async(target, data, identity_of(tenant)) as client:
            report = await send(client, found.sources, description, wait=wait)
            if sync:
                await _delete_vanished(client, found, report, allow_empty=allow_empty)
        return report

    report = asyncio.run(work())
    report.skipped = found.skipped
    for prefix, error in found.unread.items():
        report.refused[printable(prefix)] = f"UNREADABLE_FOLDER: {error.strerror}."
    show_report(report, json)
    if report.failed:
        raise typer.Exit(EXIT_PARTIAL)


async def send(
    client: AsyncClient,
    sources: Sequence[Source],
    description: Mapping[str, Any],
    *,
    wait: bool = True,
    of: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Sends documents with progress bars.

    ``description`` holds for all of them, ``of`` by document id wins over it. A document the service refuses is noted
    in the report; an overloaded or absent service is waited for.
    """
    report = Report()
    began = time.monotonic()
    with progress() as bars:
        accepted = bars.add_task("accepted  ", total=len(sources))
        searchable = bars.add_task("searchable", total=len(sources)) if wait else None
        room = asyncio.Semaphore(CALLS_AT_ONCE)

        async def put(source: Source) -> None:
            async with room:
                said = {**description, **(of or {}).get(source.document_id, {})}
                said = {"filename": source.filename, "media_type": source.media_type, "uri": source.uri, **said}
                try:
                    receipt = await put_patiently(client, source, said)
                except InvalidRequestError as error:
                    report.refused[source.document_id] = f"{error.reason}: {error.message}"
                except UnicodeEncodeError:
                    report.refused[printable(source.document_id)] = f"{NAME_REFUSED}: The file's name is no UTF-8."
                else:
                    report.receipts.append(receipt)
                bars.advance(accepted)

        sending = asyncio.gather(*(put(source) for source in sources))
        if searchable is None:
            await sending
        else:
            await asyncio.gather(sending, _follow(client, report, len(sources), bars, searchable))
    report.seconds = time.monotonic() - began
    return report


async def put_patiently(client: AsyncClient, source: Source, description: Mapping[str, Any]) -> Receipt:
    """Puts a document; an overloaded or absent service is waited for, half a minute at a time at most."""
    pause = 0.2
    while True:
        try:
            return await client.put_document(source.document_id, source.content, **description)
        except (OverloadedError, UnavailableError) as error:
            # Nothing was accepted, or the repetition is recognised by its content.
            if pause > 30:
                raise
            await asyncio.sleep(max(pause, error.retry_after_seconds or 0))
            pause *= 2


async def _follow(client: AsyncClient, report: Report, total: int, bars: Progress, bar: TaskID) -> None:
    """Asks what became of the changes until every one is in a terminal state."""
    last_progress = time.monotonic()
    first = 0
    while True:
        done = sum(receipt.unchanged for receipt in report.receipts) + len(report.changes) + len(report.refused)
        bars.update(bar, completed=done)
        if done >= total:
            return
        open_ids = [r.event_id for r in report.receipts if not r.unchanged and r.event_id not in report.changes]
        # They end about in the order in which they were sent. A part in which nothing ended is not asked for again
        # before the others: a few slow documents don't hide the rest.
        first = first if first < len(open_ids) else 0
        asked = open_ids[first : first + ASKED_AT_ONCE]
        finished = [change for change in await _changes(client, asked) if change.state != "pending"]
        first = 0 if finished else first + ASKED_AT_ONCE
        report.changes.update({change.event_id: change for change in finished})
        if finished or not open_ids:
            last_progress = time.monotonic()
        elif time.monotonic() - last_progress > LONGEST_STALL_SECONDS:
            raise CommandError(
                f"No progress for {LONGEST_STALL_SECONDS:.0f} s; {len(open_ids)} changes are accepted and still open.",
                hint="'headwater status' shows why; they are applied as soon as what is missing is back.",
                exit_code=EXIT_UNAVAILABLE,
            )
        if len(finished) < ASKED_AT_ONCE:
            await asyncio.sleep(SHORT_PAUSE_SECONDS if len(open_ids) <= ASKED_AT_ONCE else LONG_PAUSE_SECONDS)


async def _changes(client: AsyncClient, event_ids: Sequence[str]) -> list[Change]:
    if not event_ids:
        return []
    try:
        return await client.get_changes(event_ids)
    except (UnavailableError, OverloadedError):
        await asyncio.sleep(0.5)  # a service is restarting; what was accepted is safe
        return []


async def _delete_vanished(client: AsyncClient, found: Found, report: Report, *, allow_empty: bool) -> None:
    receipts: list[Receipt] = []
    present = {source.document_id for source in found.sources}
    for prefix in found.prefixes:
        holds_nothing = not any(each.startswith(prefix) for each in present)
        async for document in client.list_documents(prefix=prefix):
            if document.document_id in present or document.document_id.startswith(tuple(found.unread)):
                continue
            if holds_nothing and not allow_empty:
                raise CommandError(
                    f"{printable(prefix)} holds no documents: is its file system mounted?",
                    hint="Nothing of it was deleted. If that is right, repeat with --allow-empty.",
                )
            receipts.append(await client.delete_document(document.document_id))
            report.deleted.append(document.document_id)
    await client.wait_for_changes([receipt.event_id for receipt in receipts if not receipt.unchanged])


def key_value(item: str) -> tuple[str, object]:
    """A pair as ``--metadata`` is given it. Raises CommandError."""
    key, separator, value = item.partition("=")
    if not separator or not key:
        raise CommandError(f"--metadata {item}: write it as name=value.")
    if value in ("true", "false"):
        return key, value == "true"
    try:
        return key, float(value)
    except ValueError:
        return key, value


def show_report(report: Report, json: bool) -> None:
    """Prints what became of the documents."""
    states = Counter(change.state for change in report.changes.values())
    unchanged = report.unchanged + sum(receipt.unchanged for receipt in report.receipts)
    trace_id = next((change.trace_id for change in report.changes.values() if change.state == "applied"), "")
    if json:
        print_json(
            {
                "documents": report.unchanged + len(report.receipts) + len(report.refused),
                "states": dict(states),
                "unchanged": unchanged,
                "failed": report.failed,
                "deleted": report.deleted,
                "skipped": report.skipped,
                "seconds": report.seconds,
                "trace_id": trace_id,
            }
        )
        return
    parts = [f"{count} {state}" for state, count in sorted(states.items())]
    parts += [f"{unchanged} unchanged"] if unchanged else []
    parts += [f"{len(report.deleted)} deleted"] if report.deleted else []
    parts += [f"{len(report.skipped)} without text skipped"] if report.skipped else []
    console.print(f"{', '.join(parts) or 'nothing to do'} in {report.seconds:.1f} s")
    for document_id, why in report.failed.items():
        console.print(f"  refused {document_id}: {why}", style="yellow", markup=False)
    if trace_id:
        console.print(f"One of the traces:  headwater trace {trace_id}", style="dim")
