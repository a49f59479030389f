"""``dlq list|show|replay|discard|forget|resume``: dead letters and halts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption, TargetOption, connect, identity_of
from headwater.cli.output import console, print_json, table
from headwater.cli.problems import EXIT_PARTIAL, CommandError
from headwater.dead_letters import STATES, DeadLetter, LetterResult

app = typer.Typer(
    help="Dead letters: changes that could not be applied, and records that are none. Needs the admin scope.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

IdsArgument = Annotated[
    list[str] | None, typer.Argument(help="Ids of letters; without any, those that the options name.")
]
TenantFilter = Annotated[str, typer.Option("--tenant", help="Only this tenant's; default: all tenants.")]
ReasonFilter = Annotated[str, typer.Option("--reason", help="Only those with this reason, for instance ENCRYPTED.")]
PrefixFilter = Annotated[str, typer.Option("--prefix", help="Only documents whose ids begin with this.")]


@app.command(name="list")
def list_letters(
    tenant: TenantFilter = "",
    reason: ReasonFilter = "",
    prefix: PrefixFilter = "",
    state: Annotated[str, typer.Option("--state", help=f"{', '.join(STATES)} or all.")] = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """List dead letters, the newest failure first.

    Example:  headwater dlq list --reason ENCRYPTED --prefix handbook/
    """
    if state not in (*STATES, "all"):
        raise CommandError(f"--state {state}: there is no such state.", hint=f"One of {', '.join(STATES)} or all.")
    with connect(target, data, identity_of("default")) as client:
        which = {"tenant": tenant, "reason": reason, "prefix": prefix, "state": "" if state == "all" else state}
        found = list(islice(client.list_dead_letters(**which), limit + 1))
    more, found = len(found) > limit, found[:limit]
    if json:
        print_json({"letters": found, "more": more})
        return
    rows = table("letter", "tenant", "document", "reason", "attempts", "failed", "state", right=("attempts",))
    for letter in found:
        rows.add_row(
            letter.letter_id,
            letter.tenant_id,
            letter.document_id or f"{letter.topic}[{letter.partition}]@{letter.offset}",
            letter.reason + (" (registered)" if letter.registered else ""),
            str(letter.attempts),
            f"{letter.last_failed_at:%Y-%m-%d %H:%M:%S}",
            _state(letter),
        )
    console.print(rows)
    if more:
        console.print(f"There are more: --limit {limit * 10} or a filter.")


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(help="Id of the letter.")],
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Show one dead letter: reasons, coordinates, attempts, where its bytes are, what became of its change.

    Example:  headwater dlq show 3f2c8a…
    """
    with connect(target, data, identity_of("default")) as client:
        shown = client.get_dead_letter(letter_id)
    if json:
        print_json(shown)
        return
    letter = shown.letter
    rows = table("", "")
    rows.add_row("letter", letter.letter_id)
    rows.add_row("state", _state(letter))
    if letter.tenant_id:
        rows.add_row("change", f"{letter.kind} of {letter.document_id} at version {letter.version}")
        rows.add_row("tenant", letter.tenant_id)
    else:
        rows.add_row("change", "none: the record can't be read as one")
    rows.add_row("record", f"{letter.topic}, partition {letter.partition}, offset {letter.offset}")
    rows.add_row("first error", f"{letter.first_failed_at:%Y-%m-%d %H:%M:%S}  {letter.first_reason}")
    rows.add_row("last error", f"{letter.last_failed_at:%Y-%m-%d %H:%M:%S}  {letter.reason}: {letter.message}")
    rows.add_row("attempts", f"{letter.attempts}, replays {letter.replays}")
    if letter.registered:
        rows.add_row("registered", "yes: its content was known to be bad and was not parsed again")
    rows.add_row("trace", letter.trace_id)
    rows.add_row("document's bytes", letter.object_key)
    rows.add_row("event", f"{letter.event_object_key} ({letter.event_bytes} bytes)")
    if letter.decided_at is not None:
        why = f": {letter.why}" if letter.why else ""
        rows.add_row("decided", f"{letter.decided_at:%Y-%m-%d %H:%M:%S} by {letter.decided_by}{why}")
    if shown.change is not None:
        rows.add_row("ledger", f"{shown.change.state} {shown.change.reason}".strip())
    console.print(rows)


@app.command()
def replay(
    letter_ids: IdsArgument = None,
    tenant: TenantFilter = "",
    reason: ReasonFilter = "",
    prefix: PrefixFilter = "",
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Have changes tried again, by id or all open ones with a reason. Safe to repeat: a newer version wins.

    Example:  headwater dlq replay --reason PARSER_TIMEOUT
    """
    _require_some(letter_ids, tenant, reason, prefix)
    with connect(target, data, identity_of("default")) as client:
        results = client.replay_dead_letters(letter_ids or (), tenant=tenant, reason=reason, prefix=prefix)
    _report(results, json)


@app.command()
def discard(
    why: Annotated[str, typer.Option("--why", help="Why; kept with the letter.")],
    letter_ids: IdsArgument = None,
    tenant: TenantFilter = "",
    reason: ReasonFilter = "",
    prefix: PrefixFilter = "",
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Give changes up for good: they end as discarded. To bring a document in later, put it again.

    Example:  headwater dlq discard 3f2c8a… --why "scanned upside down, replaced by the author"
    """
    _require_some(letter_ids, tenant, reason, prefix)
    with connect(target, data, identity_of("default")) as client:
        results = client.discard_dead_letters(why, letter_ids or (), tenant=tenant, reason=reason, prefix=prefix)
    _report(results, json)


@app.command()
def forget(
    letter_ids: Annotated[list[str], typer.Argument(help="Ids of letters.")],
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Forget that these letters' contents are bad: they are parsed again when they come next. The letters stay.

    Example:  headwater dlq forget 3f2c8a…
    """
    with connect(target, data, identity_of("default")) as client:
        forgotten = client.forget_known_bad(letter_ids)
    if json:
        print_json({"forgotten": forgotten})
    else:
        console.print(f"{forgotten} contents are parsed again when they come next.")


@app.command()
def resume(target: TargetOption = None, data: DataOption = DEFAULT_DATA, json: JsonOption = False) -> None:
    """Have halted workers go on. They halt again when they still refuse what they should be able to read.

    Example:  headwater dlq resume
    """
    with connect(target, data, identity_of("default")) as client:
        halts = client.resume_ingestion()
    if json:
        print_json({"halted": halts})
    elif halts:
        console.print(*(f"{halt.worker} goes on within seconds ({halt.reason})" for halt in halts), sep="\n")
    else:
        console.print("No worker is halted.")


def _state(letter: DeadLetter) -> str:
    return f"{letter.state}, {letter.outcome}" if letter.outcome else letter.state


def _require_some(letter_ids: list[str] | None, *filters: str) -> None:
    if bool(letter_ids) == any(filters):
        raise CommandError(
            "Name letters by id, or else by --reason, --prefix or --tenant.", hint="headwater dlq list shows them."
        )


def _report(results: Sequence[LetterResult], json: bool) -> None:
    if json:
        print_json({"results": results})
    else:
        for result in results:
            why = f": {result.message} ({result.reason})" if result.reason else ""
            console.print(f"{result.letter_id} {result.document_id} {result.outcome}{why}", markup=False)
        if not results:
            console.print("No open letter fits.")
    refused = sum(result.outcome == "refused" for result in results)
    if refused:
        raise CommandError(
            f"{refused} of {len(results)} letters were left as they are.",
            hint="headwater dlq show ID",
            exit_code=EXIT_PARTIAL,
        )
