"""Ingestion: tokens per second of the whole pipeline, and how soon a change shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from uuid import uuid4

from headwater import AsyncClient
from headwater.cli.ingest import send
from headwater.cli.sources import Source

POLL_SECONDS = 0.002
LONGEST_SECONDS = 10.0


async def pipeline(client: AsyncClient, texts: Sequence[str], prefix: str, readers: Sequence[str]) -> dict[str, float]:
    """Sends one Markdown document per text and waits until all are searchable."""
    before = (await client.ingest_status()).live_tokens
    sources = [
        Source(f"{prefix}{number:06}", text.encode(), "document.md", "text/markdown", "")
        for number, text in enumerate(texts)
    ]
    report = await send(client, sources, {"readers": list(readers)})
    if report.failed:
        raise SystemExit(f"documents were refused: {list(report.failed.items())[:3]}")
    tokens = (await client.ingest_status()).live_tokens - before
    return {
        "seconds": report.seconds,
        "tokens_per_second": tokens / report.seconds,
        "documents_per_second": len(texts) / report.seconds,
    }


async def event_to_searchable(client: AsyncClient, rounds: int) -> list[float]:
    """Milliseconds from the begin of a put to the first search that finds it."""
    times = []
    for _ in range(rounds):
        word = f"marker{uuid4().hex}"
        began = time.perf_counter()
        await client.put_document(
            word, f"A new notice with the {word} in it.".encode(), filename="n.txt", readers=["public"]
        )
        await _until(partial(_finds, client, word), wanted=True)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def revoke_to_invisible(client: AsyncClient, rounds: int) -> list[float]:
    """Milliseconds from the begin of a revocation to the first search that no longer finds the document."""
    word = f"marker{uuid4().hex}"
    await client.put_document(
        word, f"A secret notice with the {word} in it.".encode(), filename="n.txt", readers=["public"]
    )
    times = []
    for _ in range(rounds):
        receipt = await client.set_document_access(word, ["public"])
        # To its end: the changes of one document are applied one after the other, and what is timed is the revocation,
        # not the rest of the change before it.
        await client.wait_for_changes([receipt.event_id])
        await _until(partial(_finds, client, word), wanted=True)
        began = time.perf_counter()
        await client.set_document_access(word, ["group:nobody-is-in-this-group"])
        await _until(partial(_finds, client, word), wanted=False)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def _finds(client: AsyncClient, word: str) -> bool:
    result = await client.search(word, k=1, rerank="off", legs=("lexical",))
    return any(hit.document_id == word for hit in result.hits)


async def _until(ask: Callable[[], Coroutine[None, None, bool]], *, wanted: bool) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while await ask() is not wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"a change did not show within {LONGEST_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)
