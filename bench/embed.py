"""Embedding throughput: our encoder against sentence-transformers on torch fp32, in turns, in one process.

    uv run --group bench python bench/embed.py [PASSAGES] [--texts N] [--rounds N] [--threads N]

PASSAGES is a JSON Lines file with `text` (and `title`) fields, such as corpus.jsonl of a BEIR set; without it, text is
generated. Prints one JSON object. Rounds alternate, and the best round of each side counts: on a shared machine the
rest is somebody else's work. Without sentence-transformers the torch figures are null.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.model import DEFAULT_MODEL, resolve
from inference.runtime import default_threads

QUERY = "how long are the old signing keys kept after a rotation"
QUERY_ROUNDS = 60
WORDS_PER_TEXT = 110
"""About 150 tokens: between a short section and the chunker's target of 200."""


@dataclass(frozen=True, slots=True)
class EmbedFigures:
    """What was measured. Tokens are those that went into a vector, padding left out."""

    embed_tokens_per_second: float
    torch_tokens_per_second: float | None
    embed_vs_torch_ratio: float | None
    query_p50_ms: float
    torch_query_p50_ms: float | None
    cosine_to_torch_mean: float | None
    cosine_to_torch_min: float | None
    runtime: str
    threads: int
    texts: int
    tokens: int
    processor: str


def measure(
    texts: Sequence[str], *, rounds: int = 3, threads: int | None = None, runtime: str = "auto"
) -> EmbedFigures:
    """Measures the default model over `texts`; blocking, seconds to minutes."""
    cores = threads or default_threads()
    encoder = TextEncoder.load(DEFAULT_MODEL, runtime=runtime, threads=cores)
    torch = _torch_encoder(cores)
    tokens = sum(e.tokens for e in encoder.tokenize(texts, TextKind.PASSAGE))

    def ours(batch: Sequence[str]) -> np.ndarray:
        return encoder.encode(batch, TextKind.PASSAGE).vectors

    sides = [ours] if torch is None else [ours, torch]
    for side in sides:
        side(texts[:32])
    best = dict.fromkeys(range(len(sides)), float("inf"))
    vectors: list[np.ndarray] = []
    for _ in range(rounds):
        vectors = []
        for number, side in enumerate(sides):
            started = time.perf_counter()
            vectors.append(side(texts))
            best[number] = min(best[number], time.perf_counter() - started)
    cosines = (vectors[0] * vectors[1]).sum(axis=1) if torch else None
    return EmbedFigures(
        embed_tokens_per_second=round(tokens / best[0], 1),
        torch_tokens_per_second=round(tokens / best[1], 1) if torch else None,
        embed_vs_torch_ratio=round(best[1] / best[0], 2) if torch else None,
        query_p50_ms=_query_ms(ours),
        torch_query_p50_ms=_query_ms(torch) if torch else None,
        cosine_to_torch_mean=round(float(cosines.mean()), 5) if cosines is not None else None,
        cosine_to_torch_min=round(float(cosines.min()), 5) if cosines is not None else None,
        runtime=encoder.info.runtime,
        threads=cores,
        texts=len(texts),
        tokens=tokens,
        processor=_processor(),
    )


def tokens_per_second(encoder: TextEncoder, texts: Sequence[str]) -> float:
    """The encoder's own speed over `texts`, once."""
    tokens = sum(e.tokens for e in encoder.tokenize(texts, TextKind.PASSAGE))
    started = time.perf_counter()
    encoder.encode(texts, TextKind.PASSAGE)
    return tokens / (time.perf_counter() - started)


def read_texts(passages: Path | None, count: int) -> list[str]:
    """The first `count` passages of a file, or generated ones."""
    if passages is None:
        return _generated(count)
    texts = []
    with passages.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            texts.append(f"{row.get('title', '')} {row['text']}".strip())
            if len(texts) == count:
                break
    return texts


def _generated(count: int) -> list[str]:
    rng = random.Random(1)
    words = sorted({word.strip(".,") for word in (__doc__ or "").split() if word.isascii()})
    length = WORDS_PER_TEXT * 4 // 3
    return [" ".join(rng.choices(words, k=rng.randint(length // 2, length * 3 // 2))) for _ in range(count)]


def _torch_encoder(threads: int) -> Callable[[Sequence[str]], np.ndarray] | None:
    if importlib.util.find_spec("sentence_transformers") is None:
        return None
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(resolve(DEFAULT_MODEL).path), device="cpu")
    return lambda batch: np.asarray(model.encode(list(batch), batch_size=32, normalize_embeddings=True))


def _query_ms(encode: Callable[[Sequence[str]], np.ndarray]) -> float:
    times = []
    for _ in range(QUERY_ROUNDS):
        started = time.perf_counter()
        encode([QUERY])
        times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times)), 2)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    """Reads the command line and prints the figures as JSON."""
    parser = argparse.ArgumentParser(description="Embedding throughput, ours against torch fp32.")
    parser.add_argument("passages", nargs="?", type=Path, help="JSON Lines with text and title; generated if absent")
    parser.add_argument("--texts", type=int, default=2000, help="how many passages (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each side; the best counts (default 3)")
    parser.add_argument("--threads", type=int, default=None, help="cores; all by default")
    parser.add_argument("--runtime", default="auto", help="as the embedder's setting (default auto)")
    arguments = parser.parse_args()
    texts = read_texts(arguments.passages, arguments.texts)
    figures = measure(texts, rounds=arguments.rounds, threads=arguments.threads, runtime=arguments.runtime)
    print(json.dumps(asdict(figures), indent=2))


if __name__ == "__main__":
    main()
