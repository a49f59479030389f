"""``python -m eval.drift REFERENCE OTHER… [--window 500]``: what the drift of questions looks like where it is known.

Each argument is a folder with ``queries.jsonl`` in BEIR layout, with a window of questions at least. Those of the
first, in an order drawn from a fixed seed, make the reference with their first part and are compared with it by their
second; then those of every other collection. Lengths and vectors of the default model only: nothing is searched or
answered.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from chassis.clock import SystemClock
from gateway.domain import Answer, Outcome, Retrieved
from gateway.drift.domain import DriftReport
from gateway.drift.watch import DriftWatch
from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.model import DEFAULT_MODEL

_BATCH = 32
_SEED = 7


def questions_of(folder: Path) -> list[str]:
    """The questions of a collection, shuffled."""
    lines = (folder / "queries.jsonl").read_text().splitlines()
    texts = [str(json.loads(line)["text"]) for line in lines if line.strip()]
    random.Random(_SEED).shuffle(texts)
    return texts


def note(watch: DriftWatch, encoder: TextEncoder, questions: Sequence[str]) -> DriftReport:
    """What the watch says after these questions, which found nothing."""
    for start in range(0, len(questions), _BATCH):
        texts = list(questions[start : start + _BATCH])
        for text, vector in zip(texts, encoder.encode(texts, TextKind.QUERY).vectors, strict=True):
            watch.embedded(vector)
            watch.answered(Answer("", Outcome.NOT_SEARCHED, ""), Retrieved(()), len(text))
    return watch.report()


def show(name: str, report: DriftReport) -> None:
    """One line: each signal with its index."""
    measured = [each for each in report.signals if each.index is not None and not each.signal.endswith(("ed", "ty"))]
    figures = " ".join(f"{each.signal} {each.index:.3f}" for each in measured)
    chance = max((each.chance for each in measured), default=0.0)
    print(f"{name:<24} {figures}  (by chance {chance:.3f})")


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    parser.add_argument("--window", type=int, default=500)
    arguments = parser.parse_args()
    encoder = TextEncoder.load(DEFAULT_MODEL, threads=1)
    watch = DriftWatch(arguments.window, None, SystemClock())
    own = questions_of(arguments.reference)
    note(watch, encoder, own[: arguments.window])
    show(f"{arguments.reference.name}, the rest", note(watch, encoder, own[arguments.window : 2 * arguments.window]))
    for folder in arguments.others:
        show(folder.name, note(watch, encoder, questions_of(folder)[: arguments.window]))


if __name__ == "__main__":
    main()
