"""``make bench``: every figure of the README, on a stack of its own, as one JSON object.

The embedder is compared with sentence-transformers on torch (fp32) when that is installed (``uv sync --group
bench``); without it the ratio is null. At the default size this takes about a quarter of an hour, most of it
embedding 50,000 chunks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import corpus, embed, ingest, machine, search
from headwater import AsyncClient, Identity
from headwater.cli import stack

TENANT = "bench"
FULL_CHUNK_TOKENS = 200
SHORT_CHUNK_TOKENS = 32
"""Of the 50,000: search cost depends on their number, not their length, and short ones are embedded in a quarter of
the time."""


def say(what: str) -> None:
    """Progress, on standard error."""
    print(f"bench: {what}", file=sys.stderr)


async def measure(target: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures that need the running stack."""
    pool = corpus.sentences(arguments.texts)
    figures: dict[str, Any] = {}
    reader = Identity(tenant=TENANT, subject="bench", groups=("readers",))
    async with AsyncClient(target, identity=reader) as client:
        await client.create_tenant(TENANT)
        say("ingest, full chunks")
        full = list(corpus.passages(pool, arguments.full_chunks, FULL_CHUNK_TOKENS, seed=11))
        figures["ingest"] = await ingest.pipeline(client, full, "full/", ["group:readers"])
        say(f"ingest: {figures['ingest']}; now filling up")
        rest = arguments.chunks - arguments.full_chunks
        # Half of them for others: the access filter has something to filter.
        for part, readers in enumerate((["group:readers", "group:staff"], ["group:staff"])):
            texts = list(corpus.passages(pool, rest // 2, SHORT_CHUNK_TOKENS, seed=part))
            await ingest.pipeline(client, texts, f"short{part}/", readers)
        figures["chunks"] = (await client.ingest_status()).live_chunks
        questions = corpus.questions()
        say("search")
        times = await search.one_at_a_time(client, questions, arguments.searches, "off")
        figures["search_p50_ms"] = search.percentile(times, 0.5)
        figures["search_p99_ms"] = search.percentile(times, 0.99)
        figures["search_qps_16"] = await search.many_callers(client, questions, 16, arguments.seconds)
        reranked = await search.one_at_a_time(client, questions, arguments.searches // 2, "on")
        figures["search_rerank_p50_ms"] = search.percentile(reranked, 0.5)
        say(f"search: {[value for key, value in figures.items() if key.startswith('search')]}; now freshness")
        fresh = await ingest.event_to_searchable(client, arguments.changes)
        figures["event_to_searchable_p50_ms"] = search.percentile(fresh, 0.5)
        revoked = await ingest.revoke_to_invisible(client, arguments.changes)
        figures["revoke_to_invisible_p99_ms"] = search.percentile(revoked, 0.99)
    return figures


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--texts", type=Path, help="folder of text files to cut passages from; default: the sample corpus"
    )
    parser.add_argument("--chunks", type=int, default=50_000, help="chunks in the stores when searching")
    parser.add_argument(
        "--full-chunks", type=int, default=2_000, help="of these, chunks of full length, whose ingestion is timed"
    )
    parser.add_argument("--searches", type=int, default=600, help="searches one at a time")
    parser.add_argument("--seconds", type=float, default=10.0, help="time with 16 callers")
    parser.add_argument("--changes", type=int, default=100, help="changes to time")
    arguments = parser.parse_args()
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
    figures["ingest_vs_embed_ratio"] = figures["ingest"]["tokens_per_second"] / figures["embed_tokens_per_second"]
    figures["machine"] = machine.describe()
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
