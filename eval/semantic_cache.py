"""``python -m eval.semantic_cache [--json] [--half development|held_out]``: how often the cache of similar questions
hits, and how often it is wrong.

``semantic_pairs.jsonl`` holds pairs of questions: paraphrases, which should hit, and near misses, which must not (other
number, version, product, place, time, entity, role, direction; negated or turned round). They are split in halves by
the hash of the first question, so that all pairs about one question are in one half. Rules and threshold were made
while reading the development half only; the held-out half is what counts.

Beside them stand all pairs of different questions of the golden set, each of which asks for something else.

A pair hits when the stage would serve the answer to the first question for the second: equal class and signature, and
vectors of the default model that are similar enough. For comparison, the same without signatures, at other thresholds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from eval.golden_set import EVAL_DIRECTORY
from numpy.typing import NDArray

from gateway.settings import GatewaySettings
from gateway.stages.cache.signature import signature
from gateway.stages.understand.classify import classify
from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.model import DEFAULT_MODEL

PAIRS: Final = EVAL_DIRECTORY / "semantic_pairs.jsonl"
PARAPHRASE: Final = "paraphrase"
HALVES: Final = ("development", "held_out")
MOST_WRONG: Final = 0.01
_THRESHOLDS: Final = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99)

Vectors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions. ``kind`` says what they differ in; paraphrases ask for the same."""

    kind: str
    one: str
    other: str

    @property
    def half(self) -> str:
        """Which half it belongs to, with all pairs of its first question."""
        return HALVES[hashlib.sha256(self.one.encode()).digest()[-1] % 2]

    @property
    def should_hit(self) -> bool:
        """Whether the answer to the one answers the other."""
        return self.kind == PARAPHRASE


def load_pairs(path: Path = PAIRS) -> tuple[Pair, ...]:
    """The pairs, in the order of the file."""
    return tuple(Pair(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line)


def golden_pairs() -> tuple[Pair, ...]:
    """All pairs of different questions of the golden set."""
    files = ("golden.jsonl", "unanswerable.jsonl")
    lines = [line for name in files for line in (EVAL_DIRECTORY / name).read_text(encoding="utf-8").splitlines()]
    questions = dict.fromkeys(json.loads(line)["question"] for line in lines if line)
    return tuple(Pair("different", one, other) for one, other in combinations(questions, 2))


def signature_of(text: str) -> str | None:
    """The signature of a question that stands alone."""
    return signature(text, classify(text)[0])


def alike(pair: Pair) -> bool:
    """Whether class and signature let the two share an answer."""
    first = signature_of(pair.one)
    return first is not None and first == signature_of(pair.other)


def _vectors(pairs: Sequence[Pair]) -> Vectors:
    texts = sorted({text for pair in pairs for text in (pair.one, pair.other)})
    encoder = TextEncoder.load(DEFAULT_MODEL, threads=1)
    return dict(zip(texts, encoder.encode(texts, TextKind.QUERY).vectors, strict=True))


def tally(pairs: Sequence[Pair], hits: Callable[[Pair], bool]) -> dict[str, Any]:
    """Rates over the pairs: hits among paraphrases, wrong hits among the others and among all hits."""
    right = [pair for pair in pairs if pair.should_hit]
    wrong = [pair for pair in pairs if not pair.should_hit]
    hit = sum(map(hits, right))
    mistaken = [pair for pair in wrong if hits(pair)]
    return {
        "paraphrases": len(right),
        "hits": hit,
        "hit_rate": round(hit / max(1, len(right)), 4),
        "near_misses": len(wrong),
        "wrong_hits": len(mistaken),
        "wrong_rate": round(len(mistaken) / max(1, len(wrong)), 4),
        "wrong_of_hits": round(len(mistaken) / max(1, hit + len(mistaken)), 4),
        "wrong_by_kind": dict(Counter(pair.kind for pair in mistaken)),
    }


def report(halves: Sequence[str]) -> dict[str, Any]:
    """All figures."""
    threshold: float = GatewaySettings.model_fields["cache_similarity"].default
    pairs, golden = load_pairs(), golden_pairs()
    chosen = [pair for pair in pairs if pair.half in halves]
    vectors = _vectors([*chosen, *golden])

    def cosine(pair: Pair) -> float:
        return float(vectors[pair.one] @ vectors[pair.other])

    def with_signature(least: float) -> Callable[[Pair], bool]:
        return lambda pair: cosine(pair) >= least and alike(pair)

    def by_cosine(least: float) -> Callable[[Pair], bool]:
        return lambda pair: cosine(pair) >= least

    figures: dict[str, Any] = {"model": DEFAULT_MODEL, "threshold": threshold}
    for half in halves:
        own = [pair for pair in chosen if pair.half == half]
        figures[half] = tally(own, with_signature(threshold)) | {
            "signature_at": {str(least): tally(own, with_signature(least)) for least in _THRESHOLDS},
            "cosine_alone_at": {str(least): tally(own, by_cosine(least)) for least in _THRESHOLDS},
        }
    figures["golden_pairs"] = tally(golden, with_signature(threshold))
    figures["signature_microseconds"] = _microseconds([pair.one for pair in chosen])
    return figures


def _microseconds(texts: Sequence[str]) -> float:
    started = time.process_time()
    for text in texts:
        signature_of(text)
    return round((time.process_time() - started) * 1e6 / max(1, len(texts)), 1)


def passed(figures: Mapping[str, Any]) -> bool:
    """Whether few enough are wrong in the held-out half, where it was measured."""
    half = figures.get("held_out")
    return half is None or max(half["wrong_rate"], half["wrong_of_hits"]) <= MOST_WRONG


def _print(figures: Mapping[str, Any], halves: Sequence[str]) -> None:
    print(f"{figures['model']}, threshold {figures['threshold']}")
    for half in halves:
        row = figures[half]
        print(f"{half}: {row['hits']} of {row['paraphrases']} paraphrases hit ({row['hit_rate']:.1%})")
        print(f"  {row['wrong_hits']} of {row['near_misses']} near misses hit ({row['wrong_rate']:.1%})")
        for name in ("signature_at", "cosine_alone_at"):
            for least, at in row[name].items():
                print(f"  {name} {least}: hit rate {at['hit_rate']:.3f}, wrong rate {at['wrong_rate']:.3f}")
    golden = figures["golden_pairs"]
    print(f"golden set: {golden['wrong_hits']} of {golden['near_misses']} pairs hit")
    print(f"{figures['signature_microseconds']} µs per signature")


def main() -> int:
    """Prints the figures; 1 when more than one in a hundred is wrong."""
    parser = argparse.ArgumentParser(prog="python -m eval.semantic_cache", description="Hits that are right or wrong.")
    parser.add_argument("--half", choices=HALVES, help="only this half")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    halves = (arguments.half,) if arguments.half else HALVES
    figures = report(halves)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures, halves)
    return int(not passed(figures))


if __name__ == "__main__":
    sys.exit(main())
