"""``eval``: retrieval quality and speed on a collection in BEIR layout, through the services."""

from __future__ import annotations

import asyncio
import json as json_library
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.aio import AsyncClient
from headwater.cli.context import DEFAULT_DATA, DataOption, JsonOption, TargetOption, connect_async, identity_of
from headwater.cli.evaluate_answers import GoldQuestion, measure_answers, read_answers
from headwater.cli.ingest import send
from headwater.cli.output import console, print_json, progress, table
from headwater.cli.problems import CommandError
from headwater.cli.search import parse_rerank
from headwater.cli.sources import Source
from headwater.messages import RerankChoice

if TYPE_CHECKING:
    import ir_measures

MEASURES = {
    "ndcg@10": "nDCG@10",
    "recall@10": "R@10",
    "recall@100": "R@100",
    "mrr@10": "RR@10",
    "hit@5": "Success@5",
}
"""Our keys and the names by which ir_measures knows them. It is imported where it is used: no other command needs it,
and all would wait for it."""
DEPTH = 100
"""Documents per query: what recall@100 needs."""
PASSAGES = 200
"""Passages per query, of which the best of each document counts."""
WARM_UP_QUERIES = 5


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection in BEIR layout (Thakur et al. 2021): corpus.jsonl, queries.jsonl, qrels/test.tsv."""

    name: str
    documents: Sequence[dict[str, Any]]
    queries: dict[str, str]
    judgements: Sequence[ir_measures.Qrel]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="eval")(evaluate)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl and qrels/test.tsv.")],
    legs: Annotated[bool, typer.Option("--legs", help="Report each leg alone as well.")] = False,
    rerank: Annotated[str, typer.Option("--rerank", help="auto, on or off.")] = "auto",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the tenant and its documents; the next run finds them unchanged.")
    ] = False,
    answers: Annotated[
        Path | None, typer.Option("--answers", help="Accepted answers in SQuAD layout: ask the questions, too.")
    ] = None,
    first: Annotated[int | None, typer.Option("--first", min=1, help="Questions to ask; default: all.")] = None,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    json: JsonOption = False,
) -> None:
    """Ingest a collection into a tenant of its own and measure retrieval, and answers, through the gateway.

    Example:  headwater eval ./scifact --legs --json
    Example:  headwater eval ./xquad-en --answers xquad.en.json --first 300
    """
    collection = read_collection(folder)
    asked = read_answers(answers, collection.queries, first) if answers is not None else []
    report = asyncio.run(_run(collection, legs, parse_rerank(rerank), keep, target, data, asked))
    if json:
        print_json(report)
    else:
        _show(report)


def read_collection(folder: Path) -> Collection:
    """Reads a collection. Raises CommandError when a file is missing or broken."""
    import ir_measures

    try:
        queries = {line["_id"]: line["text"] for line in _lines(folder / "queries.jsonl")}
        judgements = []
        for row in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            query_id, document_id, grade = row.split("\t")
            judgements.append(ir_measures.Qrel(query_id, document_id, int(grade)))
        documents = list(_lines(folder / "corpus.jsonl"))
    except FileNotFoundError as error:
        raise CommandError(
            f"{Path(error.filename).name} is missing in {folder}.",
            hint="BEIR layout is corpus.jsonl, queries.jsonl and qrels/test.tsv.",
        ) from None
    except (ValueError, KeyError) as error:
        raise CommandError(f"{folder} is not in BEIR layout: {error}.") from None
    judged = {judgement.query_id for judgement in judgements}
    return Collection(folder.resolve().name, documents, {i: t for i, t in queries.items() if i in judged}, judgements)


async def _run(
    collection: Collection,
    legs: bool,
    rerank: RerankChoice,
    keep: bool,
    target: str | None,
    data: Path,
    asked: Sequence[GoldQuestion],
) -> dict[str, Any]:
    tenant = "eval-" + re.sub(r"[^a-z0-9]+", "-", collection.name.lower()).strip("-")[:50]
    async with connect_async(target, data, identity_of(tenant)) as client:
        if not keep:
            await client.delete_tenant(tenant)
        await client.create_tenant(tenant)
        try:
            report: dict[str, Any] = {"collection": collection.name, **await _ingest(client, collection)}
            report |= await _measure(client, collection, rerank, (), "queries")
            if legs:
                report["legs"] = {
                    leg: await _measure(client, collection, "off", (leg,), leg) for leg in ("vector", "lexical")
                }
            if asked:
                report["answers"] = await measure_answers(client, asked)
        finally:
            if not keep:
                await client.delete_tenant(tenant)
    return report


async def _ingest(client: AsyncClient, collection: Collection) -> dict[str, Any]:
    sources = [
        Source(document["_id"], document.get("text", "").encode() or b" ", "document.txt", "text/plain", "")
        for document in collection.documents
        if (document.get("text", "") + document.get("title", "")).strip()
    ]
    titles = {document["_id"]: {"title": document.get("title", "")[:500]} for document in collection.documents}
    report = await send(client, sources, {"readers": ["public"]}, of=titles)
    if report.failed:
        document_id, why = next(iter(report.failed.items()))
        raise CommandError(f"{len(report.failed)} documents were refused, the first one {document_id}: {why}")
    status = await client.ingest_status()
    return {
        "documents": len(sources),
        "chunks": status.live_chunks,
        "tokens": status.live_tokens,
        "ingest_seconds": report.seconds,
        "documents_per_second": len(sources) / report.seconds,
        "tokens_per_second": status.live_tokens / report.seconds,
    }


async def _measure(
    client: AsyncClient, collection: Collection, rerank: RerankChoice, legs: Sequence[str], label: str
) -> dict[str, Any]:
    import ir_measures

    for text in list(collection.queries.values())[:WARM_UP_QUERIES]:
        await client.search(text, k=PASSAGES, rerank=rerank, legs=legs)
    run: list[ir_measures.ScoredDoc] = []
    latencies: list[float] = []
    degraded = 0
    with progress() as bars:
        bar = bars.add_task(f"{label:10}", total=len(collection.queries))
        for query_id, text in collection.queries.items():
            began = time.perf_counter()
            result = await client.search(text, k=PASSAGES, rerank=rerank, legs=legs)
            latencies.append((time.perf_counter() - began) * 1000)
            degraded += bool(result.degraded)
            best: dict[str, float] = {}
            for hit in result.hits:
                best.setdefault(hit.document_id, hit.score)
            ranked = list(best.items())[:DEPTH]
            # Ranks, not scores, so that equal scores keep the order that the caller saw.
            run += [ir_measures.ScoredDoc(query_id, document_id, -rank) for rank, (document_id, _) in enumerate(ranked)]
            bars.advance(bar)
    measures = {name: ir_measures.parse_measure(text) for name, text in MEASURES.items()}
    values = ir_measures.calc_aggregate(measures.values(), collection.judgements, run)
    return {
        **{name: float(values[measure]) for name, measure in measures.items()},
        "queries": len(collection.queries),
        "latency_ms": _percentiles(latencies),
        "degraded": degraded,
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        name: ordered[min(len(ordered) - 1, int(len(ordered) * q))]
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json_library.loads(line)


def _show(report: dict[str, Any]) -> None:
    console.print(
        f"{report['collection']}: {report['documents']} documents, {report['chunks']} chunks, "
        f"{report['documents_per_second']:.0f} documents/s, {report['tokens_per_second']:.0f} tokens/s"
    )
    rows = table("", *MEASURES, "p50 ms", "p95 ms", "p99 ms", right=(*MEASURES, "p50 ms", "p95 ms", "p99 ms"))
    for name, values in [("all legs", report), *report.get("legs", {}).items()]:
        figures = [f"{values[measure]:.4f}" for measure in MEASURES]
        rows.add_row(name, *figures, *(f"{value:.1f}" for value in values["latency_ms"].values()))
    console.print(rows)
    if "answers" in report:
        of = report["answers"]
        console.print(
            f"answers: {of['holds_gold']:.3f} of {of['questions']} hold an accepted answer, "
            f"{of['answered']:.3f} are answered, with {of['words']:.0f} words on average"
        )
