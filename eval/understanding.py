"""``python -m eval.understanding``: how well questions are understood, what it costs, and what each stage is worth.

Accuracy per class, of rewriting, filters and routes: on the held-out half of ``questions_classes.jsonl``.
Milliseconds: of all stages together, by rules, for each of these questions.
Hit@5 and answers on the golden set, with each stage switched on and off: over a stack of its own. Hit@5 is of the
passages that the question is answered from. ``--queries FILE`` (JSON lines with "text") counts in how many questions of
any other set nothing would be searched or it would be asked back; all of them should be searched. ``--collection
FOLDER`` measures decomposition and expansion on a collection in BEIR layout instead of the golden set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from eval.golden_set import AnswerableCase, GoldenSet, load_golden_set, normalise
from eval.sample import ingest_corpus
from eval.understanding_cases import TENANT, VOCABULARY, accuracies, judge, load_cases, request_of
from eval.understanding_collections import measure_collection
from eval.understanding_search import OFF, SearchedThroughGateway

from corpus.analysis import analyse
from gateway.plan import STAGES
from gateway.settings import GatewaySettings
from gateway.stages.understand.classify import classify
from gateway.stages.understand.planner import Planner
from gateway.understanding import build_planner
from headwater import AnswerOutcome, AsyncClient, Identity
from headwater.cli import stack
from headwater.cli.output import console, print_json, table

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "all off": OFF,
    "classify": {**OFF, "understand_classify": True},
    "clarify": {**OFF, "understand_classify": True, "understand_clarify": True},
    "filters": {**OFF, "understand_filters": True},
    "route >= .5": {**OFF, "understand_route": True, "understand_route_confidence": 0.5},
    "route >= .8": {**OFF, "understand_route": True, "understand_route_confidence": 0.8},
    "decompose": {**OFF, "understand_classify": True, "understand_decompose": True},
    "depth": {**OFF, "understand_classify": True, "understand_depth": True},
    "expand": {**OFF, "understand_expand": True},
    "freshness .2": {**OFF, "understand_classify": True, "understand_freshness_weight": 0.2},
    "as shipped": {},
}
"""Settings by name; a stage that builds on classes is measured with them."""

ANSWERED: Final[Mapping[str, tuple[str, ...]]] = {
    "all off": STAGES,
    "classify and clarify": tuple(set(STAGES) - {"classify", "clarify"}),
    "decompose": tuple(set(STAGES) - {"classify", "decompose"}),
    "depth": tuple(set(STAGES) - {"classify", "depth"}),
    "route >= .8": tuple(set(STAGES) - {"route"}),
    "as shipped": ("route", "decompose", "depth", "expand"),
}
"""Stages that a question leaves out, of a gateway that has all of them on."""


def settings_of(values: Mapping[str, Any]) -> GatewaySettings:
    """Settings with the sample corpus' vocabulary."""
    return GatewaySettings(understand_vocabulary=VOCABULARY, **values)


async def hits_at_5(target: str, golden: GoldenSet, planner: Planner) -> dict[str, Any]:
    """Hit@5 of what questions are answered from; a question that is not searched, or asked back, is a miss."""
    missed = []
    for case in golden.answerable:
        async with _client(target, case.groups) as client:
            request = request_of(case.question)
            plan = await planner.plan(request)
            retrieval = SearchedThroughGateway(client, case.filter)
            (retrieved,) = await planner.search([(request.question, plan)], retrieval, request.caller)
            asked_back = planner.clarified(request.question, plan, retrieved) is not None
        texts = [(each.document_id, normalise(each.text)) for each in retrieved.passages[:5]]
        found = any(
            passage.document_id == document and normalise(passage.quote) in text
            for document, text in texts
            for passage in case.expected
        )
        if not found or asked_back:
            missed.append(case.case_id)
    return {"hit@5": 1 - len(missed) / len(golden.answerable), "missed": missed}


async def answers(target: str, golden: GoldenSet, without: Sequence[str]) -> dict[str, Any]:
    """How the golden questions are answered by a stack, without these stages."""
    refused, incomplete, asked_back, wrongly, milliseconds = [], [], [], [], []
    for case in golden.answerable:
        async with _client(target, case.groups) as client:
            answer = await client.ask(case.question, filter=case.filter, without=without)
        milliseconds += [stage.milliseconds for stage in answer.stages if stage.name == "understand"]
        if answer.outcome is AnswerOutcome.CLARIFICATION:
            asked_back.append(case.case_id)
        elif answer.outcome is not AnswerOutcome.ANSWERED:
            refused.append(case.case_id)
        elif not _complete(case, " ".join((answer.text, *(citation.quote for citation in answer.citations)))):
            incomplete.append(case.case_id)
    for other in golden.unanswerable:
        async with _client(target, other.groups) as client:
            answer = await client.ask(other.question, without=without)
        if answer.outcome is AnswerOutcome.ANSWERED:
            wrongly.append(other.case_id)
    return {
        "complete": 1 - len(incomplete + refused + asked_back) / len(golden.answerable),
        "refused": len(refused) / len(golden.answerable),
        "asked_back": len(asked_back),
        "unanswerable_answered": len(wrongly),
        "understand_ms_p50": _percentile(milliseconds, 0.5),
        "understand_ms_p95": _percentile(milliseconds, 0.95),
        "not_complete": incomplete + refused + asked_back,
    }


def _complete(case: AnswerableCase, text: str) -> bool:
    plain = normalise(text)
    return all(any(normalise(option) in plain for option in options) for options in case.answer_contains)


def _client(target: str, groups: frozenset[str]) -> AsyncClient:
    return AsyncClient(target, identity=Identity(tenant=TENANT, subject="evaluation", groups=tuple(groups)))


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0


def rules(half: str) -> dict[str, Any]:
    """Accuracy and cost; the cost is of a second pass, when every pattern is compiled."""
    planner = build_planner(settings_of({}), analyse)
    cases = load_cases()
    judged, _ = judge(cases, planner)
    _, milliseconds = judge(cases, planner)
    wrong = [f"{each.case.case_id} {each.what} → {each.found}" for each in judged if not each.right]
    known = {case.case_id for case in cases if case.half == half}
    return {
        "half": half,
        "accuracy": accuracies(judged, half),
        "milliseconds": {"p50": _percentile(milliseconds, 0.5), "p95": _percentile(milliseconds, 0.95)},
        "wrong": [line for line in wrong if line.partition(" ")[0] in known],
    }


def classes_of(file: Path) -> dict[str, int]:
    """Classes of the questions of another set."""
    texts = [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines() if line]
    return dict(Counter(classify(text)[0].value for text in texts))


def _environment() -> dict[str, str]:
    """Every stage on, and deadlines that a busy machine keeps too: a leg that is late would count as a bad stage."""
    on = dict.fromkeys(OFF, "true")
    gateway = {**on, "understand_vocabulary": str(VOCABULARY), "understand_route_confidence": "0.8"}
    gateway |= {
        "search_seconds": "60",
        "embed_seconds": "60",
        "rate_ask": "100000/second",
        "rate_search": "100000/second",
    }
    stages = ("embed", "vector", "lexical", "heads", "chunks", "rerank")
    return {
        **{f"HEADWATER_GATEWAY_{name.upper()}": value for name, value in gateway.items()},
        **{f"HEADWATER_RETRIEVER_{stage.upper()}_SECONDS": "60" for stage in stages},
    }


async def _measure(target: str, golden: GoldenSet) -> dict[str, Any]:
    async with _client(target, frozenset()) as client:
        ingested = await ingest_corpus(client, golden)
    if ingested.failed:
        raise SystemExit(f"documents were refused: {ingested.failed}")
    planners = {name: build_planner(settings_of(values), analyse) for name, values in VARIANTS.items()}
    return {
        "hit@5": {name: await hits_at_5(target, golden, planner) for name, planner in planners.items()},
        "answers": {name: await answers(target, golden, without) for name, without in ANSWERED.items()},
    }


def _on_a_stack(golden: GoldenSet, collections: Sequence[Path]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="headwater-understanding-") as folder:
        endpoints = stack.start(Path(folder), port_base=0, environment=_environment())
        try:
            target = endpoints.grpc["gateway"]
            if collections:
                return {"collections": {f.name: asyncio.run(measure_collection(target, f)) for f in collections}}
            return asyncio.run(_measure(target, golden))
        finally:
            stack.stop(Path(folder))


def _show(report: Mapping[str, Any]) -> None:
    rows = table("property", "accuracy", "cases", right=("accuracy", "cases"))
    for what, figures in report["rules"]["accuracy"].items():
        rows.add_row(what, f"{figures['accuracy']:.3f}", str(figures["cases"]))
    console.print(rows)
    console.print(f"milliseconds of all stages: {report['rules']['milliseconds']}")
    for name, counts in report["queries"].items():
        console.print(f"{name}: {counts}")
    for name, figures in report.get("hit@5", {}).items():
        console.print(f"hit@5 {name:14} {figures['hit@5']:.3f}  missed {', '.join(figures['missed'])}")
    for name, variants in report.get("collections", {}).items():
        for variant, figures in variants.items():
            console.print(f"{name} {variant}: {figures}")
    for name, figures in report.get("answers", {}).items():
        console.print(f"answers {name}: {figures}")


def main() -> int:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--half", default="held_out", choices=("held_out", "development"))
    parser.add_argument("--rules-only", action="store_true", help="no stack, no golden set")
    parser.add_argument("--queries", type=Path, action="append", default=[], help="another set of questions")
    parser.add_argument(
        "--collection",
        type=Path,
        action="append",
        default=[],
        help="a folder in BEIR layout, instead of the golden set",
    )
    arguments = parser.parse_args()
    report: dict[str, Any] = {"rules": rules(arguments.half)}
    report["queries"] = {file.parent.name: classes_of(file) for file in arguments.queries}
    if not arguments.rules_only:
        report |= _on_a_stack(load_golden_set(), arguments.collection)
    if arguments.json:
        print_json(report)
    else:
        _show(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
