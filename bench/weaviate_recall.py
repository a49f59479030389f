"""The vector index of the cluster profile against exact search: recall, latency, speed of writing, by quantisation.

    python -m bench.weaviate_recall --data DIR [--rows N] [--index rq,sq,none] [--embeddings FILE.npz]

DIR holds collections in the BEIR layout (corpus.jsonl, queries.jsonl) anywhere below it. Their sentences are embedded
with the product's model, which takes minutes for 50,000; ``--embeddings`` keeps them for the next run. Without
``--data`` it makes clustered random vectors. The server is the one at HEADWATER_TEST_WEAVIATE (http host:port,grpc
host:port). Everything goes through the adapter; only the definition of the collection differs, and what the server
lets one change on a full collection: from how many matching rows on it walks the graph instead of comparing all.

Prints one JSON object. Recall is over the 50 nearest rows among those that satisfy the prefilter, of which three are
measured: everything readable, half of it, and a metadata filter that keeps 1 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import machine
from bench.corpus import SENTENCE_END
from bench.vector_index import clustered
from chassis.endpoints import WeaviateEndpoint
from corpus.adapters.weaviate import WeaviateConnection, WeaviateVectorIndex, open_weaviate, schema
from corpus.domain import AccessPolicy, DocumentKey, FieldType, VectorRow
from corpus.filters import parse_filter
from corpus.ids import chunk_id
from corpus.metadata import row_metadata
from corpus.ports import Prefilter
from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.model import DEFAULT_MODEL

_GENERATION = "bench"
_TENANT = "bench"
_CHUNKS_PER_DOCUMENT = 8
_SENTENCE_CHARACTERS = 120
_RECALL_K = 50
_LATENCY_K = 200
_UPDATED = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
_FIELDS = {"slot": FieldType.NUMBER, "release": FieldType.VERSION}

Floats = NDArray[np.float32]

INDEXES: Mapping[str, Mapping[str, Any]] = {
    "rq": {},
    # Trained once there are so many rows; by default 100,000, which most tenants never have.
    "sq": {"rq": {"enabled": False}, "sq": {"enabled": True, "trainingLimit": 10_000, "rescoreLimit": 20}},
    "none": {"rq": {"enabled": False}},
}
"""What the collection's index has in place of the shipped settings."""


def _texts(folder: Path, name: str) -> Iterator[str]:
    for path in sorted(folder.rglob(name)):
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line).get("text") or ""


def embedded(folder: Path, rows: int, queries: int) -> tuple[Floats, Floats]:
    """(rows, d) vectors of different sentences below the folder, and (queries, d) of its questions."""
    sentences = {
        sentence[:_SENTENCE_CHARACTERS]
        for text in _texts(folder, "corpus.jsonl")
        for sentence in SENTENCE_END.split(" ".join(text.split()))
        if len(sentence) >= 30
    }
    passages, questions = sorted(sentences), list(_texts(folder, "queries.jsonl"))
    random.Random(7).shuffle(passages)
    random.Random(8).shuffle(questions)
    encoder = TextEncoder.load(DEFAULT_MODEL)
    return (
        encoder.encode(passages[:rows], TextKind.PASSAGE).vectors,
        encoder.encode(questions[:queries], TextKind.QUERY).vectors,
    )


def _row(place: int, vector: Floats) -> VectorRow:
    """A row as the ingest service writes them: half of the documents for readers and staff, the rest for staff."""
    number = place // _CHUNKS_PER_DOCUMENT
    key = DocumentKey(_TENANT, f"handbook/{number}.md")
    metadata = row_metadata(
        {"slot": float(place % 100), "release": f"{number % 9}.{number % 13}"},
        document_id=key.document_id,
        updated_at=_UPDATED,
        title=f"Handbook, part {number}",
        doc_type="guide",
        language="en",
    )
    tokens = frozenset({"readers", "staff"} if number % 2 else {"staff"})
    identifier = chunk_id(_TENANT, key.document_id, 1, place, _GENERATION)
    return VectorRow(identifier, key, 1, AccessPolicy(tokens), metadata, vector)


def _prefilters(rows: list[VectorRow]) -> Mapping[str, tuple[Prefilter, NDArray[np.bool_]]]:
    """What is asked for, and which rows satisfy it."""
    one_percent = parse_filter({"slot": 42}, _FIELDS)
    return {
        "all": (Prefilter(_TENANT, frozenset({"staff"}), 0), np.ones(len(rows), dtype=np.bool_)),
        "half": (
            Prefilter(_TENANT, frozenset({"readers"}), 0),
            np.array([place // _CHUNKS_PER_DOCUMENT % 2 == 1 for place in range(len(rows))]),
        ),
        "one_percent": (
            Prefilter(_TENANT, frozenset({"staff"}), 0, one_percent),
            np.array([place % 100 == 42 for place in range(len(rows))]),
        ),
    }


async def measure(endpoint: WeaviateEndpoint, index: str, vectors: Floats, queries: Floats) -> dict[str, Any]:
    """Figures of one kind of index."""
    connection = await open_weaviate(endpoint)
    try:
        definition = schema.definition(endpoint, _GENERATION, vectors.shape[1])
        definition["vectorIndexConfig"] |= INDEXES[index]
        await connection.request("POST", "/schema", body=definition)
        adapter = WeaviateVectorIndex(connection)
        rows = [_row(place, vector) for place, vector in enumerate(vectors)]
        started = time.perf_counter()
        for first in range(0, len(rows), 500):
            await adapter.write(_GENERATION, rows[first : first + 500])
            if first % 5_000 == 0:
                print(f"{index}: {first} rows, {time.perf_counter() - started:.0f} s", file=sys.stderr)
        figures: dict[str, Any] = {"write_rows_per_second": round(len(rows) / (time.perf_counter() - started))}
        for name, cutoff in (("shipped", schema.VECTOR_INDEX["flatSearchCutoff"]), ("graph_only", 0)):
            await _set_cutoff(connection, definition["class"], cutoff)
            for asked, (prefilter, readable) in _prefilters(rows).items():
                figures[f"{name}.{asked}"] = await _searched(adapter, rows, vectors, queries, prefilter, readable)
        figures |= await _changes(adapter, rows)
        return figures
    finally:
        await connection.request("DELETE", f"/schema/{schema.collection_name(endpoint, _GENERATION)}")
        await connection.close()


async def _set_cutoff(connection: WeaviateConnection, name: str, cutoff: int) -> None:
    definition = (await connection.request("GET", f"/schema/{name}")).json()
    definition["vectorIndexConfig"]["flatSearchCutoff"] = cutoff
    await connection.request("PUT", f"/schema/{name}", body=definition)


async def _searched(
    adapter: WeaviateVectorIndex,
    rows: list[VectorRow],
    vectors: Floats,
    queries: Floats,
    prefilter: Prefilter,
    readable: NDArray[np.bool_],
) -> dict[str, float]:
    found = wanted = 0
    for query in queries:
        [hits] = await adapter.search(_GENERATION, query[None], _RECALL_K, prefilter)
        products = np.where(readable, vectors @ query, -2)
        count = min(_RECALL_K, int(readable.sum()))
        best = {rows[place].chunk_id for place in np.argsort(-products, kind="stable")[:count]}
        found += len(best & {hit.chunk_id for hit in hits})
        wanted += len(best)
    times = []
    for query in queries:
        started = time.perf_counter()
        await adapter.search(_GENERATION, query[None], _LATENCY_K, prefilter)
        times.append((time.perf_counter() - started) * 1e3)
    return {
        "recall_at_50": round(found / wanted, 4),
        "k200_p50_ms": round(statistics.median(times), 1),
        "k200_p95_ms": round(sorted(times)[int(len(times) * 0.95)], 1),
    }


async def _changes(adapter: WeaviateVectorIndex, rows: list[VectorRow]) -> dict[str, float]:
    """Seconds of access changes, rewriting and deletes over the chunks of some documents."""
    some = rows[:1_000]
    ids = [row.chunk_id for row in some]
    figures = {}
    steps: Mapping[str, Callable[[], Awaitable[object]]] = {
        "set_access": lambda: adapter.set_access(_GENERATION, _TENANT, ids, AccessPolicy(frozenset({"staff"}), 1)),
        "rewrite": lambda: adapter.write(_GENERATION, some),
        "delete": lambda: adapter.delete(_GENERATION, _TENANT, ids),
        "chunk_ids": lambda: adapter.chunk_ids(_GENERATION, _TENANT),
    }
    for name, step in steps.items():
        started = time.perf_counter()
        await step()
        figures[f"{name}_1000_seconds" if name != "chunk_ids" else "chunk_ids_all_seconds"] = round(
            time.perf_counter() - started, 3
        )
    return figures


def _loaded(arguments: argparse.Namespace) -> tuple[Floats, Floats]:
    if arguments.embeddings and arguments.embeddings.exists():
        stored = np.load(arguments.embeddings)
        return stored["rows"][: arguments.rows], stored["queries"][: arguments.queries]
    if arguments.data is None:
        return clustered(arguments.rows, arguments.queries)
    vectors, queries = embedded(arguments.data, arguments.rows, arguments.queries)
    if arguments.embeddings:
        np.savez(arguments.embeddings, rows=vectors, queries=queries)
    return vectors, queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of collections; default: random vectors in clusters")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--index", default="rq", help=f"some of {','.join(INDEXES)}")
    parser.add_argument("--embeddings", type=Path, help="file in which embeddings are kept")
    parser.add_argument("--server", default=os.environ.get("HEADWATER_TEST_WEAVIATE", ""), help="http,grpc host:port")
    arguments = parser.parse_args()
    if arguments.server.count(",") != 1:
        raise SystemExit("name a server: --server HOST:HTTP_PORT,HOST:GRPC_PORT")
    http, grpc = arguments.server.split(",")
    vectors, queries = _loaded(arguments)
    source = "random, clustered" if arguments.data is None and arguments.embeddings is None else DEFAULT_MODEL
    figures: dict[str, Any] = {"rows": len(vectors), "dimensions": vectors.shape[1], "vectors": source}
    for index in arguments.index.split(","):
        endpoint = WeaviateEndpoint(http=http, grpc=grpc, prefix=f"B{uuid.uuid4().hex[:12]}")
        figures[index] = asyncio.run(measure(endpoint, index, vectors, queries))
    print(json.dumps({**figures, "machine": machine.describe()}, indent=2))


if __name__ == "__main__":
    main()
