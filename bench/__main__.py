"""``make bench``: every figure of the README, on a stack of its own, as one JSON object.

The embedder is compared with sentence-transformers on torch (fp32) when that is installed (``uv sync --group
bench``); without it the ratio is null. At the default size this takes about twenty minutes, most of it
ingesting the 50,000 chunks that are searched. What is noisy is measured in rounds, whose median counts; all of them are
in the output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench import corpus, embed, ingest, machine, search
from bench.fill import fill
from headwater import AsyncClient, Identity
from headwater.cli import stack
from inference.encoder import TextEncoder
from inference.model import DEFAULT_MODEL

TENANT = "bench"
FULL_CHUNK_TOKENS = 200
DOCUMENT_TOKENS = 1_000
"""About two pages, five chunks."""
SHORT_CHUNK_TOKENS = 32
"""Of the 50,000: search cost depends on their number, not their length, and short ones are embedded in a quarter of
the time."""


def say(what: str) -> None:
    """Progress, on standard error."""
    print(f"bench: {what}", file=sys.stderr)


async def measure(target: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures that need the running stack."""
    pool = corpus.sentences(arguments.texts)
    reader = Identity(tenant=TENANT, subject="bench", groups=("readers",))
    async with AsyncClient(target, identity=reader) as client:
        await client.create_tenant(TENANT)
        say("ingest")
        figures = await measure_ingest(client, pool, arguments)
        say(f"ingest: {figures}; now filling up to {arguments.chunks} chunks")
        rest = arguments.chunks - (await client.ingest_status()).live_chunks
        # Half of them for others: the access filter has something to filter.
        for part, readers in enumerate((["group:readers", "group:staff"], ["group:staff"])):
            texts = list(corpus.passages(pool, max(0, rest // 2), SHORT_CHUNK_TOKENS, seed=part))
            if not texts:
                continue  # the documents above are as many chunks as were asked for
            if arguments.cluster:
                figures["filled_chunks_per_second"] = await fill(TENANT, texts, readers, f"short{part}-")
            else:
                filled = await ingest.pipeline(client, texts, f"short{part}/", readers)
                figures["short_documents_per_second"] = filled["documents_per_second"]
        figures["chunks"] = (await client.ingest_status()).live_chunks
        say("search")
        figures |= await measure_search(client, arguments)
        say(f"search: {[value for key, value in figures.items() if key.startswith('search')]}; now freshness")
        fresh = await ingest.event_to_searchable(client, arguments.changes)
        figures["event_to_searchable_p50_ms"] = search.percentile(fresh, 0.5)
        revoked = await ingest.revoke_to_invisible(client, arguments.changes)
        figures["revoke_to_invisible_p50_ms"] = search.percentile(revoked, 0.5)
        figures["revoke_to_invisible_p99_ms"] = search.percentile(revoked, 0.99)
    return figures


async def measure_ingest(client: AsyncClient, pool: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """The pipeline against the embedder's own speed (the better of before and after), in turns: what else the machine
    does meets both."""
    encoder = await asyncio.to_thread(TextEncoder.load, DEFAULT_MODEL)
    passages = list(corpus.passages(pool, 200, FULL_CHUNK_TOKENS))

    async def embedder_alone() -> float:
        return await asyncio.to_thread(embed.tokens_per_second, encoder, passages)

    rounds: list[dict[str, float]] = []
    after = await embedder_alone()  # warms up as well
    for turn in range(arguments.rounds):
        before = await embedder_alone() if turn == 0 else after
        texts = list(corpus.documents(pool, arguments.documents, DOCUMENT_TOKENS, seed=100 + turn))
        done = await ingest.pipeline(client, texts, f"full{turn}/", ["group:readers"])
        after = await embedder_alone()
        own = max(before, after)
        rounds.append({**done, "embedder_tokens_per_second": own, "ratio": done["tokens_per_second"] / own})
    return {
        "ingest_vs_embed_ratio": median(each["ratio"] for each in rounds),
        "ingest_tokens_per_second": median(each["tokens_per_second"] for each in rounds),
        "ingest_rounds": rounds,
    }


async def measure_search(client: AsyncClient, arguments: argparse.Namespace) -> dict[str, Any]:
    """Every figure in each round; the median round counts."""
    questions = corpus.questions()
    rounds: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        times = await search.one_at_a_time(client, questions, arguments.searches, "off")
        reranked = await search.one_at_a_time(client, questions, max(1, arguments.searches // 2), "on")
        new, repeated = [
            await search.many_callers(client, questions, 16, arguments.seconds, repeated=each) for each in (False, True)
        ]
        rounds.append(
            {
                "search_p50_ms": search.percentile(times, 0.5),
                "search_p99_ms": search.percentile(times, 0.99),
                "search_rerank_p50_ms": search.percentile(reranked, 0.5),
                "search_qps_16": new[0],
                "search_qps_16_repeated": repeated[0],
                "search_degraded_16": max(new[1], repeated[1]),
            }
        )
    figures: dict[str, Any] = {name: median(each[name] for each in rounds) for name in rounds[0]}
    return {**figures, "search_rounds": rounds}


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--texts", type=Path, help="folder of text files to cut passages from; default: the sample corpus"
    )
    parser.add_argument("--chunks", type=int, default=50_000, help="chunks in the stores when searching")
    parser.add_argument("--documents", type=int, default=150, help="documents whose ingestion is timed, per round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of ingestion and of searching; the median counts")
    parser.add_argument("--searches", type=int, default=300, help="searches one at a time, per round")
    parser.add_argument("--seconds", type=float, default=8.0, help="time with 16 callers, per round")
    parser.add_argument("--changes", type=int, default=100, help="changes to time")
    arguments = parser.parse_args()
    arguments.cluster = os.environ.get("HEADWATER_PROFILE") == "cluster"
    say("embedder")
    passages = list(corpus.passages(corpus.sentences(arguments.texts), 200, FULL_CHUNK_TOKENS))
    figures: dict[str, Any] = asdict(embed.measure(passages))
    say(f"embedder: {figures}")
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        data = Path(folder)
        began = time.perf_counter()
        endpoints = stack.start(data, port_base=0)
        figures["ready_seconds"] = time.perf_counter() - began
        try:
            figures |= asyncio.run(measure(endpoints.grpc["gateway"], arguments))
            pids = [pid for service in stack.SERVICES if (pid := stack.pid_of(data, service))]
            figures["rss_bytes"] = sum(stack.resident_bytes(pid) for pid in pids)
        finally:
            stack.stop(data)
    figures["machine"] = machine.describe()
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
