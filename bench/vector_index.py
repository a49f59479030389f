"""Cost of the embedded vector index, and of the ways to scan that it chooses between.

    python -m bench.vector_index [--rows N] [--vectors FILE.npy] [--queries FILE.npy]

Without files it makes clustered random vectors, which are harder than real ones: their similarities lie closer
together, so more rows survive the int8 pass. Prints one JSON object: milliseconds of one query and of 16, by way of
scanning and through the index, memory, and how much of the exact answer came back. Set OPENBLAS_NUM_THREADS to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numkong
import numpy as np
from numpy.typing import NDArray

from bench import machine
from corpus.adapters.numpy import NumpyVectorIndex
from corpus.adapters.numpy.segment import quantise
from corpus.domain import AccessPolicy, DocumentKey, FieldType, VectorRow
from corpus.filters import parse_filter
from corpus.ports import Prefilter

_GENERATION = "bench"
_TENANT = "bench"
_K = 50
_CHUNKS_PER_DOCUMENT = 8
_READERS = AccessPolicy(frozenset({"readers", "staff"}))
_STAFF = AccessPolicy(frozenset({"staff"}))

Floats = NDArray[np.float32]


def clustered(rows: int, queries: int, dimensions: int = 384) -> tuple[Floats, Floats]:
    """Unit vectors around 200 centres, and queries near some of them."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, dimensions), dtype=np.float32)
    vectors = rng.standard_normal((rows, dimensions), dtype=np.float32) + 1.5 * centres[rng.integers(0, 200, rows)]
    asked = vectors[rng.integers(0, rows, queries)] + rng.standard_normal((queries, dimensions), dtype=np.float32)
    return _unit(vectors), _unit(asked)


def _unit(vectors: Floats) -> Floats:
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _milliseconds(work: Callable[[], object], repeats: int = 25) -> float:
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1e3, 2)


def scans(vectors: Floats, queries: Floats) -> dict[str, float]:
    """Products of one query and of 16 with all rows, nothing else."""
    rows, *_ = quantise(vectors)
    asked, *_ = quantise(queries)

    packed = numkong.dots_pack(asked[:16])

    def blocked() -> None:
        transposed = np.ascontiguousarray(queries[:16].T)
        for start in range(0, len(vectors), 1_024):
            vectors[start : start + 1_024] @ transposed

    return {
        "float32_1_ms": _milliseconds(lambda: vectors @ queries[0]),
        "float32_16_ms": _milliseconds(lambda: vectors @ queries[:16].T, 7),
        "float32_16_blocked_ms": _milliseconds(blocked, 7),
        "int8_1_ms": _milliseconds(lambda: numkong.cdist(asked[:1], rows, metric="dot")),
        "int8_16_ms": _milliseconds(lambda: numkong.dots_packed(rows, packed), 7),
    }


def _row(place: int, vector: Floats) -> VectorRow:
    document = place // _CHUNKS_PER_DOCUMENT
    key = DocumentKey(_TENANT, f"d{document}")
    access = _READERS if document % 2 else _STAFF
    return VectorRow(f"c{place:07d}", key, 1, access, {"year": float(2000 + document % 25)}, vector)


async def through_the_index(root: Path, vectors: Floats, queries: Floats) -> dict[str, Any]:
    """What callers of the port see; half of the rows are readable."""
    figures: dict[str, Any] = {}
    prefilter = Prefilter(_TENANT, frozenset({"readers"}), 0)
    async with NumpyVectorIndex(root, writable=True) as writer, NumpyVectorIndex(root, writable=False) as reader:
        started = time.perf_counter()
        for start in range(0, len(vectors), 512):
            rows = [_row(start + place, each) for place, each in enumerate(vectors[start : start + 512])]
            await writer.write(_GENERATION, rows)
        figures["write_rows_per_second"] = round(len(vectors) / (time.perf_counter() - started))

        async def timed(query: Floats, caller: Prefilter = prefilter) -> float:
            begun = time.perf_counter()
            await reader.search(_GENERATION, query[None], _K, caller)
            return (time.perf_counter() - begun) * 1e3

        figures["first_search_ms"] = round(await timed(queries[0]), 1)
        recent = parse_filter({"year": {"$gte": 2015}}, {"year": FieldType.NUMBER})
        callers = {
            "search": prefilter,
            "filtered": Prefilter(_TENANT, frozenset({"readers"}), 0, recent),
            "nothing_readable": Prefilter(_TENANT, frozenset({"x"}), 0),
        }
        for name, caller in callers.items():
            times = sorted([await timed(query, caller) for query in queries])
            figures[f"{name}_p50_ms"] = round(statistics.median(times), 2)
            figures[f"{name}_p95_ms"] = round(times[int(len(times) * 0.95)], 2)
        figures["searches_per_second_16"] = await _throughput(timed, queries)
        figures["recall_at_50"] = await _recall(reader, vectors, queries, prefilter)
        changes = []
        for place in range(20):
            begun = time.perf_counter()
            await writer.write(_GENERATION, [_row(place, vectors[place])])
            changes.append((time.perf_counter() - begun) * 1e3)
        figures["write_one_p50_ms"] = round(statistics.median(changes), 2)
    return figures


async def _throughput(timed: Callable[[Floats], Any], queries: Floats) -> float:
    async def caller(number: int) -> None:
        for turn in range(20):
            await timed(queries[(number * 7 + turn) % len(queries)])

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(16)))
    return round(16 * 20 / (time.perf_counter() - started))


async def _recall(reader: NumpyVectorIndex, vectors: Floats, queries: Floats, prefilter: Prefilter) -> float:
    readable = np.array([place // _CHUNKS_PER_DOCUMENT % 2 == 1 for place in range(len(vectors))])
    found = wanted = 0
    for query in queries:
        [hits] = await reader.search(_GENERATION, query[None], _K, prefilter)
        products = np.where(readable, vectors @ query, -2)
        best = {f"c{place:07d}" for place in np.argsort(-products, kind="stable")[:_K]}
        found += len(best & {hit.chunk_id for hit in hits})
        wanted += len(best)
    return round(found / wanted, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--queries", type=Path)
    arguments = parser.parse_args()
    vectors, queries = clustered(arguments.rows, 64)
    if arguments.vectors and arguments.queries:
        vectors = _unit(np.load(arguments.vectors)[: arguments.rows])
        queries = _unit(np.load(arguments.queries)[:64])
    figures: dict[str, Any] = {"rows": len(vectors), "dimensions": vectors.shape[1], **scans(vectors, queries)}
    with tempfile.TemporaryDirectory() as root:
        figures |= asyncio.run(through_the_index(Path(root), vectors, queries))
    figures["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures["blas_threads"] = os.environ.get("OPENBLAS_NUM_THREADS", "default")
    print(json.dumps({**figures, "machine": machine.describe()}, indent=2))


if __name__ == "__main__":
    main()
