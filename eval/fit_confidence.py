"""``python -m eval.fit_confidence``: fits the extractive generator's confidence to the golden set, and says how well
it holds.

Asks a stack of its own every golden question, every unanswerable one, and every golden one again with the documents
that answer it filtered
out, which makes it a hard unanswerable one; takes the features that the gateway notes on
its spans, and fits a
logistic regression (ridge penalty, Newton's method). Prints leave-one-out figures: each question judged by a model that
has not seen it. ``--write`` stores the coefficients where the gateway reads them; restart it then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from eval.golden_set import AnswerableCase, GoldenSet, load_golden_set
from eval.sample import ingest_corpus
from numpy.typing import NDArray

from headwater import AsyncClient, Identity
from headwater.cli import stack

MODEL_FILE = Path(__file__).resolve().parent.parent / "services/gateway/generators/extractive/confidence.json"
COMMAND = "python -m eval.fit_confidence --write"
PREFIX = "headwater.confidence."
WITH_VECTORS = ("similarity", "coverage", "missing", "absent", "margin", "form", "unmet")
LEXICAL_ONLY = ("coverage", "absent", "unmet")
HARD_SHARE = 0.15
"""Weight of the filtered questions in the fit, of 1 for all; the answerable ones have half.

They keep the model from trusting single words alone, but passages that remain often do answer a part of them, so they
must not decide."""
RIDGE = 3.0
"""Penalty on standardised weights: 70 questions should not move a coefficient far."""
FOLDS = 10
TRACE_SECONDS = 30.0

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """One question with its features; ``answerable`` is what the model should say, ``hard`` marks a filtered one."""

    case_id: str
    answerable: bool
    hard: bool
    features: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted model on raw features."""

    intercept: float
    weights: Matrix

    def confidence(self, rows: Matrix) -> Matrix:
        """(n,) confidences of (n, f) rows."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.intercept + rows @ self.weights))))


def fit(rows: Matrix, labels: Matrix, weight: Matrix, ridge: float = RIDGE) -> Fit:
    """Ridge logistic regression on standardised features. All arrays are by example; weights have a mean of 1."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(rows)), (rows - mean) / scale])
    penalty = np.diag([0.0, *([ridge] * rows.shape[1])])
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1.0 / (1.0 + np.exp(-design @ beta))
        gradient = design.T @ (weight * (labels - chance)) - penalty @ beta
        hessian = (design * (weight * chance * (1 - chance))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    weights = beta[1:] / scale
    return Fit(float(beta[0] - mean @ weights), weights)


def weights_of(examples: Sequence[Example]) -> Matrix:
    """(n,) weights: half for the answerable, ``HARD_SHARE`` for the filtered, the rest for the unanswerable."""
    kinds = [(example.answerable, example.hard) for example in examples]
    shares = {(True, False): 0.5, (False, True): HARD_SHARE, (False, False): 0.5 - HARD_SHARE}
    return np.array([shares[kind] * len(kinds) / kinds.count(kind) for kind in kinds])


def leave_one_out(rows: Matrix, labels: Matrix, weight: Matrix) -> Matrix:
    """(n,) confidence of each example by the model of all others."""
    held = []
    for i in range(len(rows)):
        others = fit(np.delete(rows, i, 0), np.delete(labels, i), np.delete(weight, i))
        held.append(others.confidence(rows[i : i + 1])[0])
    return np.array(held)


def cross_validated(rows: Matrix, labels: Matrix, weight: Matrix, plain: NDArray[np.bool_]) -> tuple[int, int]:
    """How many answerable questions are refused, and unanswerable ones answered, when model and threshold are those of
    the other nine tenths. ``plain``: (n,), those that are judged; filtered ones only train."""
    folds = np.arange(len(rows)) % FOLDS
    refused = answered = 0
    for fold in range(FOLDS):
        train, held = folds != fold, (folds == fold) & plain
        model = fit(rows[train], labels[train], weight[train])
        known = train & plain
        threshold = threshold_between(model.confidence(rows[known]), labels[known])
        over = model.confidence(rows[held]) >= threshold
        refused += int((~over & (labels[held] == 1)).sum())
        answered += int((over & (labels[held] == 0)).sum())
    return refused, answered


def threshold_between(confidence: Matrix, labels: Matrix) -> float:
    """Halfway between the most confident unanswerable question and the answerable one next above it."""
    highest_unanswerable = float(confidence[labels == 0].max())
    above = confidence[(labels == 1) & (confidence > highest_unanswerable)]
    return (highest_unanswerable + float(above.min())) / 2 if len(above) else 1.0


def matrix(examples: Sequence[Example], names: Sequence[str], *, lexical: bool) -> Matrix:
    """(n, f) features; without vectors an unmet word counts in full, as it does in the gateway then."""
    rows = np.array([[example.features[name] for name in names] for example in examples])
    if lexical:
        unmet = names.index("unmet")
        rows[:, unmet] = rows[:, unmet] > 0
    return rows


def report(name: str, examples: Sequence[Example], names: Sequence[str], *, lexical: bool) -> dict[str, object]:
    """Fits, prints the figures, and returns the model as the gateway reads it."""
    rows, labels = matrix(examples, names, lexical=lexical), np.array([float(e.answerable) for e in examples])
    weight = weights_of(examples)
    model = fit(rows, labels, weight)
    own, held = model.confidence(rows), leave_one_out(rows, labels, weight)
    plain = np.array([not example.hard for example in examples])
    threshold = threshold_between(own[plain], labels[plain])
    print(f"{name}: threshold {threshold:.3f}")
    for title, confidence in (("fitted", own), ("leave one out", held)):
        refused = [e.case_id for e, c in zip(examples, confidence, strict=True) if e.answerable and c < threshold]
        wrong = [e for e, c in zip(examples, confidence, strict=True) if not e.answerable and c >= threshold]
        answered = [e.case_id for e in wrong if not e.hard]
        hard = f"{sum(e.hard for e in wrong)} of {int((~plain).sum())}"
        print(f"  {title}: answerable refused {refused}, unanswerable answered {answered}, filtered answered {hard}")
    refused_held, answered_held = cross_validated(rows, labels, weight, plain)
    print(
        f"  {FOLDS} folds, threshold and all: answerable refused {refused_held} of {int(labels.sum())}, "
        f"unanswerable answered {answered_held} of {int((plain & (labels == 0)).sum())}"
    )
    return {
        "intercept": round(model.intercept, 4),
        "weights": {key: round(float(weight), 4) for key, weight in zip(names, model.weights, strict=True)},
        "threshold": round(threshold, 4),
        "fitted_with": COMMAND,
    }


async def ask_all(target: str, golden: GoldenSet) -> list[tuple[str, bool, bool, str]]:
    """(case id, answerable, hard, trace id) of every question."""
    async with _client(target, golden, frozenset()) as client:
        await ingest_corpus(client, golden)
    asked: list[tuple[str, bool, bool, str]] = []
    for case in golden.answerable:
        async with _client(target, golden, case.groups) as client:
            answer = await client.ask(case.question, filter=case.filter)
            asked.append((case.case_id, True, False, answer.trace_id))
            answer = await client.ask(case.question, filter=_without_source(case))
            asked.append((case.case_id, False, True, answer.trace_id))
    for gap in golden.unanswerable:
        async with _client(target, golden, gap.groups) as client:
            answer = await client.ask(gap.question)
        asked.append((gap.case_id, False, False, answer.trace_id))
    return asked


def features_in(traces: Path, trace_ids: frozenset[str]) -> dict[str, dict[str, float]]:
    """Features by trace id, as soon as the gateway has written all of its spans."""
    deadline = time.monotonic() + TRACE_SECONDS
    while True:
        found: dict[str, dict[str, float]] = {}
        for line in traces.read_text(encoding="utf-8").splitlines():
            span = json.loads(line) if "gateway.generate" in line and line.endswith("}") else None
            if span is not None and span["trace_id"] in trace_ids:
                attributes = span["attributes"]
                features = {k.removeprefix(PREFIX): v for k, v in attributes.items() if k.startswith(PREFIX)}
                if features:
                    found[span["trace_id"]] = features
        # A question for which nothing was retrieved has no features and needs no model.
        if len(found) == len(trace_ids) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def collect(golden: GoldenSet) -> list[Example]:
    """Starts a stack, asks, and returns the examples."""
    with tempfile.TemporaryDirectory(prefix="headwater-fit-") as folder:
        data = Path(folder)
        patient = {"HEADWATER_GATEWAY_EMBED_SECONDS": "30"}
        endpoints = stack.start(data, port_base=0, environment=patient)
        try:
            asked = asyncio.run(ask_all(endpoints.grpc["gateway"], golden))
            features = features_in(data / "traces" / "gateway.jsonl", frozenset(trace_id for *_, trace_id in asked))
        finally:
            stack.stop(data)
    return [
        Example(case_id, answerable, hard, features[trace_id])
        for case_id, answerable, hard, trace_id in asked
        if trace_id in features
    ]


def _without_source(case: AnswerableCase) -> Mapping[str, Any]:
    """A filter that hides every document which answers the case."""
    hidden = {"document_id": {"$nin": sorted({passage.document_id for passage in case.expected})}}
    return {"$and": [case.filter, hidden]} if case.filter else hidden


def _client(target: str, golden: GoldenSet, groups: frozenset[str]) -> AsyncClient:
    return AsyncClient(target, identity=Identity(tenant=golden.tenant, subject="calibration", groups=tuple(groups)))


def main() -> int:
    """Fits both models: with sentence vectors, and with words alone for when the embedder is down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="store the coefficients in the gateway")
    parser.add_argument("--examples", type=Path, help="read the features from this file, or write them there")
    arguments = parser.parse_args()
    if arguments.examples and arguments.examples.exists():
        examples = [Example(*row) for row in json.loads(arguments.examples.read_text(encoding="utf-8"))]
    else:
        examples = collect(load_golden_set())
        if arguments.examples:
            rows = [[e.case_id, e.answerable, e.hard, dict(e.features)] for e in examples]
            arguments.examples.write_text(json.dumps(rows), encoding="utf-8")
    models = {
        "with_vectors": report("with_vectors", examples, WITH_VECTORS, lexical=False),
        "lexical_only": report("lexical_only", examples, LEXICAL_ONLY, lexical=True),
    }
    if arguments.write:
        MODEL_FILE.write_text(json.dumps(models, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
