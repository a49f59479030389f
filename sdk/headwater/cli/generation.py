"""``generation create|status|compare|promote|rollback|drop``: another model or chunker, while searches go on."""

from __future__ import annotations

import asyncio
import json as json_library
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from headwater.aio import AsyncClient
from headwater.cli.context import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    TargetOption,
    TenantOption,
    connect,
    connect_async,
    has_token,
    identity_of,
)
from headwater.cli.output import console, errors, print_json, progress, table
from headwater.cli.problems import EXIT_CHECK_FAILED, CommandError
from headwater.generations import GenerationComparison, GenerationSettings, GenerationStatus

app = typer.Typer(
    help="Generations: another embedding model or chunker, built beside the active one. Needs the admin scope.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameArgument = Annotated[str, typer.Argument(help="Name of the generation, as status prints it.")]
WARM_UP_QUERIES = 5
COUNTING = "counting what is missing there"


@dataclass(frozen=True, slots=True)
class GoldenQuery:
    """A question, for whom, and the documents that answer it."""

    question: str
    groups: frozenset[str]
    expected: frozenset[str]
    filter: Mapping[str, Any] | None


@app.command()
def create(
    chunk_tokens: Annotated[int, typer.Option("--chunk-tokens", min=0, help="Wanted tokens per chunk; 0: as now.")] = 0,
    second_embedder: Annotated[
        bool, typer.Option("--second-embedder", help="With the model of the second embedder.")
    ] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Begin to build a generation beside the active one. Workers do it in the background.

    Example:  headwater generation create --chunk-tokens 120
    """
    with connect(target, data, identity_of("default")) as client:
        created = client.create_generation(chunk_target_tokens=chunk_tokens, second_embedder=second_embedder)
    if json:
        print_json(created)
        return
    console.print(f"{created.name} is being built: model {created.model_id}, chunker {created.chunker}.")
    console.print(
        f"Next:  headwater generation status    headwater generation compare {created.name} eval/golden.jsonl"
    )


@app.command()
def status(target: TargetOption = None, data: DataOption = DEFAULT_DATA, json: JsonOption = False) -> None:
    """Show what is active and what is kept beside it, how far it is built, and how it compares.

    Example:  headwater generation status --json
    """
    with connect(target, data, identity_of("default")) as client:
        found = client.generation_status()
    if json:
        print_json(found)
    else:
        _print(found)


@app.command()
def compare(
    name: NameArgument,
    golden: Annotated[Path, typer.Argument(help="JSON lines: question, groups, expected[].document_id, filter.")],
    k: Annotated[int, typer.Option("--k", min=1, max=100, help="How many documents count.")] = 10,
    target: TargetOption = None,
    tenant: TenantOption = "default",
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Ask golden questions of both generations and keep the figures: overlap, Hit@k, MRR and latency. Exit code 1 when
    they speak against a promotion.

    Example:  headwater generation compare g0123456789abcdef eval/golden.jsonl --tenant acme
    """
    queries = read_golden(golden)
    comparison, objections = asyncio.run(_compare(name, queries, k, tenant, target, data))
    if json:
        print_json({"comparison": comparison, "objections": objections})
    else:
        _print_comparison(comparison)
    if objections:
        raise CommandError(" ".join(objections), hint="docs/generations.md, Verdict.", exit_code=EXIT_CHECK_FAILED)


@app.command()
def promote(
    name: NameArgument,
    force: Annotated[bool, typer.Option("--force", help="Against its verdict; never while it is incomplete.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, with --force.")] = "",
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Search the shadow from now on, and keep the other one up to date for a way back.

    Example:  headwater generation promote g0123456789abcdef
    """
    with connect(target, data, identity_of("default")) as client, errors.status(COUNTING):
        active = client.promote_generation(name, force=force, reason=reason)
    _say_active(active, json)


@app.command()
def rollback(
    force: Annotated[bool, typer.Option("--force", help="Although documents are missing there for a moment.")] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Search the previous generation again, at once. Nothing that changed since is lost.

    Example:  headwater generation rollback
    """
    with connect(target, data, identity_of("default")) as client, errors.status(COUNTING):
        active = client.roll_back_generation(force=force)
    _say_active(active, json)


@app.command()
def drop(name: NameArgument, target: TargetOption = None, data: DataOption = DEFAULT_DATA) -> None:
    """Keep the generation beside the active one no longer. There is no way back to it; its rows are removed.

    Example:  headwater generation drop g0123456789abcdef
    """
    with connect(target, data, identity_of("default")) as client, errors.status(COUNTING):
        client.drop_generation(name)
    console.print(f"{name} is dropped; its rows are being removed.")


def read_golden(path: Path) -> list[GoldenQuery]:
    """Questions with known answers. Raises CommandError."""
    try:
        rows = [json_library.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [
            GoldenQuery(
                row["question"],
                frozenset(row.get("groups") or ()),
                frozenset(each["document_id"] for each in row["expected"]),
                row.get("filter"),
            )
            for row in rows
        ]
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"{path} is not a golden set: {error}.",
            hint='One JSON object a line: {"question": …, "groups": [], "expected": [{"document_id": …}]}.',
        ) from None


async def _compare(
    name: str, queries: Sequence[GoldenQuery], k: int, tenant: str, target: str | None, data: Path
) -> tuple[GenerationComparison, Sequence[str]]:
    if has_token() and any(query.groups for query in queries):
        raise CommandError(
            "Golden questions name groups, and with HEADWATER_TOKEN all are asked as the token's own caller.",
            hint="Take a token that may read what is expected and leave the groups out.",
        )
    async with AsyncExitStack() as stack:
        clients: dict[frozenset[str], AsyncClient] = {}
        everybody: frozenset[str] = frozenset()
        for groups in {everybody, *(query.groups for query in queries)}:
            identity = identity_of(tenant, groups=sorted(groups))
            clients[groups] = await stack.enter_async_context(connect_async(target, data, identity))
        admin = clients[everybody]
        found = await admin.generations.status()
        if found.active is None or found.beside is None or found.beside.name != name:
            raise CommandError(f"{name} is not kept beside the active generation.", hint="headwater generation status")
        sides = _Sides(found.active.name, name, k)
        for query in queries[:WARM_UP_QUERIES]:
            await sides.ask(clients[query.groups], query)
        sides.answers.clear()
        with progress() as bars:
            bar = bars.add_task("compare", total=len(queries))
            for query in queries:
                await sides.ask(clients[query.groups], query)
                bars.advance(bar)
        comparison = sides.figures()
        return comparison, await admin.generations.record_comparison(name, comparison)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of one query, on both sides."""

    overlap: float
    ranks: tuple[int, int]
    """Of the first expected document, from 1; 0 when there is none."""
    milliseconds: tuple[float, float]


@dataclass(slots=True)
class _Sides:
    """Asks both generations, and keeps figures only."""

    active: str
    beside: str
    k: int
    answers: list[_Answer] = field(default_factory=list)

    async def ask(self, client: AsyncClient, query: GoldenQuery) -> None:
        names = (self.active, self.beside)
        found: dict[str, list[str]] = {}
        took: dict[str, float] = {}
        # In turns, so that neither side always finds the caches warm.
        for name in names if len(self.answers) % 2 else names[::-1]:
            began = time.perf_counter()
            result = await client.search(query.question, k=5 * self.k, filter=query.filter, generation=name)
            took[name] = (time.perf_counter() - began) * 1000
            found[name] = list(dict.fromkeys(hit.document_id for hit in result.hits))[: self.k]
        first, second = (found[name] for name in names)
        most = max(len(first), len(second))
        self.answers.append(
            _Answer(
                len(set(first) & set(second)) / most if most else 1.0,
                (_rank(first, query.expected), _rank(second, query.expected)),
                (took[self.active], took[self.beside]),
            )
        )

    def figures(self) -> GenerationComparison:
        count = max(len(self.answers), 1)

        def hit(side: int) -> float:
            return sum(answer.ranks[side] > 0 for answer in self.answers) / count

        def mrr(side: int) -> float:
            return sum(1 / answer.ranks[side] for answer in self.answers if answer.ranks[side]) / count

        def p95(side: int) -> float:
            ordered = sorted(answer.milliseconds[side] for answer in self.answers)
            return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else 0.0

        overlap = sum(answer.overlap for answer in self.answers) / count
        return GenerationComparison(
            self.active, self.k, len(self.answers), 0, overlap, hit(0), hit(1), mrr(0), mrr(1), p95(0), p95(1)
        )


def _rank(found: Sequence[str], expected: frozenset[str]) -> int:
    return next((rank for rank, document_id in enumerate(found, start=1) if document_id in expected), 0)


def _say_active(active: GenerationSettings, json: bool) -> None:
    if json:
        print_json(active)
    else:
        console.print(f"{active.name} is searched now: model {active.model_id}, chunker {active.chunker}.")


def _print(found: GenerationStatus) -> None:
    if found.active is None:
        console.print("Nothing was ingested yet.")
        return
    rows = table("generation", "role", "model", "chunker", "analyser")
    for each in (found.active, found.beside):
        if each is not None:
            rows.add_row(each.name, each.role, each.model_id, each.chunker, each.analyser)
    console.print(rows)
    if found.build is not None:
        build = found.build
        state = f"complete since {build.complete_at:%Y-%m-%d %H:%M:%S}" if build.complete_at else "being built"
        console.print(
            f"{state}: {build.done} of {build.documents} documents in the last pass, {build.failed} failed"
            f"{f' ({build.reason})' if build.reason else ''}; seen {build.updated_at:%H:%M:%S} by {build.worker}"
        )
    if found.beside is not None:
        console.print(f"{found.missing} documents are missing in {found.beside.name}")
    if found.comparison is not None:
        _print_comparison(found.comparison)
    for objection in found.objections:
        console.print(f"  against a promotion: {objection}", style="yellow", markup=False)
    for name in found.leaving:
        console.print(f"rows of {name} are being removed")
    if found.change and found.changed_at is not None:
        console.print(f"last change {found.changed_at:%Y-%m-%d %H:%M:%S}: {found.change}", markup=False)


def _print_comparison(comparison: GenerationComparison) -> None:
    k = comparison.k
    rows = table("", f"Hit@{k}", f"MRR@{k}", "p95 ms", right=(f"Hit@{k}", f"MRR@{k}", "p95 ms"))
    rows.add_row("active", f"{comparison.hit:.3f}", f"{comparison.mrr:.3f}", f"{comparison.p95_ms:.0f}")
    rows.add_row(
        "beside", f"{comparison.hit_beside:.3f}", f"{comparison.mrr_beside:.3f}", f"{comparison.p95_beside_ms:.0f}"
    )
    console.print(rows)
    console.print(f"{comparison.golden_queries} golden queries, overlap@{k} {comparison.overlap:.3f}")
