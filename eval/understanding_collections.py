"""What decomposition and expansion are worth on a collection in BEIR layout, through a stack that is running.

Half of the queries, by the hash of their ids, choose a weight; the other half is what is reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import ir_measures
from eval.understanding_cases import HALVES, half_of, request_of
from eval.understanding_search import OFF, SearchedThroughGateway

from corpus.analysis import analyse
from gateway.plan import QuestionClass
from gateway.settings import GatewaySettings
from gateway.stages.understand.classify import classify
from gateway.stages.understand.planner import Planner
from gateway.understanding import build_planner
from headwater import AsyncClient, Identity
from headwater.cli.evaluate import Collection, read_collection
from headwater.cli.ingest import send
from headwater.cli.sources import Source

_PASSAGES: Final = 20
_MEASURE: Final = ir_measures.nDCG @ 10
_SEVERAL: Final = (QuestionClass.COMPARISON, QuestionClass.MULTI_HOP)


def variants() -> Mapping[str, Planner]:
    """Planners by name."""
    off = GatewaySettings(**OFF)
    parts = GatewaySettings(**{**OFF, "understand_classify": True, "understand_decompose": True})
    expands = GatewaySettings(**{**OFF, "understand_expand": True})
    return {
        "all off": build_planner(off, analyse),
        **{f"decompose {w}": build_planner(parts, analyse, part_weight=w) for w in (0.1, 0.25, 0.5, 1.0)},
        **{f"expand {w}": build_planner(expands, analyse, expansion_weight=w) for w in (0.25, 0.5)},
    }


async def measure_collection(target: str, folder: Path) -> dict[str, Any]:
    """nDCG@10 of each variant on each half, over all of its queries and over those that ask for several things."""
    collection = read_collection(folder)
    tenant = "understanding-" + re.sub(r"[^a-z0-9]+", "-", collection.name.lower()).strip("-")[:40]
    async with AsyncClient(target, identity=Identity(tenant=tenant)) as client:
        await _ingest(client, tenant, collection)
        return {name: await _measure(client, collection, planner) for name, planner in variants().items()}


async def _ingest(client: AsyncClient, tenant: str, collection: Collection) -> None:
    await client.create_tenant(tenant)
    sources = [
        Source(document["_id"], document["text"].encode() or b" ", "document.txt", "text/plain", "")
        for document in collection.documents
    ]
    titles = {document["_id"]: {"title": document.get("title", "")[:500]} for document in collection.documents}
    report = await send(client, sources, {"readers": ["public"]}, of=titles)
    if report.failed:
        raise SystemExit(f"{len(report.failed)} documents were refused")


async def _measure(client: AsyncClient, collection: Collection, planner: Planner) -> dict[str, Any]:
    retrieval = SearchedThroughGateway(client, k=_PASSAGES)
    run: list[ir_measures.ScoredDoc] = []
    for query_id, text in collection.queries.items():
        request = request_of(text)
        plan = await planner.plan(request)
        (retrieved,) = await planner.search([(request.question, plan)], retrieval, request.caller)
        documents = dict.fromkeys(passage.document_id for passage in retrieved.passages)
        run += [ir_measures.ScoredDoc(query_id, document_id, -rank) for rank, document_id in enumerate(documents)]
    values = {each.query_id: each.value for each in ir_measures.iter_calc([_MEASURE], collection.judgements, run)}
    several = {query_id for query_id, text in collection.queries.items() if classify(text)[0] in _SEVERAL}
    report: dict[str, Any] = {}
    for half in HALVES:
        ids = [query_id for query_id in collection.queries if half_of(query_id) == half]
        taken_apart = [query_id for query_id in ids if query_id in several]
        report[half] = {
            "ndcg@10": _mean([values.get(query_id, 0.0) for query_id in ids]),
            "ndcg@10 of several": _mean([values.get(query_id, 0.0) for query_id in taken_apart]),
            "queries": len(ids),
            "several": len(taken_apart),
        }
    return report


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
