"""Runs in a pod, with nothing but the SDK: constant searches and documents through the gateway's Service.

Stops when /tmp/stop exists, waits for what was accepted, and prints one JSON line: how much was asked and put, what
failed and why, and which accepted documents are not there.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field

from headwater import AsyncClient, HeadwaterError

TARGET = os.environ["TARGET"]
TOKEN = os.environ["TOKEN"]
RUN = os.environ["RUN"]
SEARCHES_PER_SECOND = float(os.environ.get("SEARCHES_PER_SECOND", "5"))
DOCUMENTS_PER_SECOND = float(os.environ.get("DOCUMENTS_PER_SECOND", "1"))
CALL_SECONDS = float(os.environ.get("CALL_SECONDS", "30"))
LIMIT_SECONDS = float(os.environ.get("LIMIT_SECONDS", "1800"))
QUESTIONS = ("how is a certificate rotated", "days of paid leave", "error codes of the gateway", "warranty of a probe")


@dataclass
class Seen:
    """What happened."""

    searches: int = 0
    documents: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    first_failures: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    accepted: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def failed(self, what: str, error: HeadwaterError) -> None:
        """Counts a call that the SDK gave up."""
        self.failures[f"{what}: {error.reason}"] += 1
        if len(self.first_failures) < 5:
            self.first_failures.append(f"{time.monotonic() - self.began:.1f} s {what} {error.reason}: {error.message}")


async def search(client: AsyncClient, seen: Seen, number: int) -> None:
    """One question."""
    began = time.monotonic()
    try:
        await client.search(f"{QUESTIONS[number % len(QUESTIONS)]} {number % 50}", k=5, timeout_seconds=CALL_SECONDS)
    except HeadwaterError as error:
        seen.failed("search", error)
    seen.searches += 1
    seen.slowest_seconds = max(seen.slowest_seconds, time.monotonic() - began)


async def put(client: AsyncClient, seen: Seen, number: int) -> None:
    """One document."""
    document_id = f"{RUN}-{number:06d}"
    text = f"# Note {number}\n\nThis is note {number} of {RUN}; it says that valve {number} was opened at noon."
    try:
        receipt = await client.put_document(
            document_id, text.encode(), filename="note.md", readers=["public"], version=number + 1, timeout_seconds=60
        )
    except HeadwaterError as error:
        seen.failed("put", error)
    else:
        seen.accepted[document_id] = receipt.event_id
    seen.documents += 1


async def constantly(per_second: float, call: object, client: AsyncClient, seen: Seen) -> None:
    """An open loop: calls begin when they are due, whether or not earlier ones have ended."""
    began, number = time.monotonic(), 0
    running: set[asyncio.Task[None]] = set()
    while per_second and not os.path.exists("/tmp/stop") and time.monotonic() - began < LIMIT_SECONDS:
        task = asyncio.create_task(call(client, seen, number))  # type: ignore[operator]
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
        await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
    await asyncio.gather(*running)


async def missing(client: AsyncClient, seen: Seen) -> list[str]:
    """Accepted documents that are not live once every change has ended."""
    changes = await client.wait_for_changes(seen.accepted.values(), timeout_seconds=300)
    live = {document.document_id async for document in client.list_documents(prefix=f"{RUN}-")}
    bad = [f"{change.document_id} {change.state}" for change in changes.values() if change.state != "applied"]
    return sorted(bad + [f"{document_id} absent" for document_id in seen.accepted.keys() - live])


async def first_answer(client: AsyncClient) -> None:
    """The network lets a new pod through a moment after it has started."""
    deadline = time.monotonic() + 60
    while True:
        try:
            await client.search(QUESTIONS[0], k=1, timeout_seconds=CALL_SECONDS)
            return
        except HeadwaterError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


async def once_it_answers(client: AsyncClient, seen: Seen) -> list[str]:
    """As ``missing``; where every pod was deleted, nobody may answer for a while."""
    deadline = time.monotonic() + 300
    while True:
        try:
            return await missing(client, seen)
        except HeadwaterError as error:
            if time.monotonic() > deadline:
                raise
            print(f"not yet: {error.reason} {error.message}", flush=True)
            await asyncio.sleep(2)


async def main() -> None:
    """Puts load on until told to stop."""
    seen = Seen()
    async with AsyncClient(TARGET, token=TOKEN) as client:
        await first_answer(client)
        seen.began = time.monotonic()
        print("started", flush=True)
        await asyncio.gather(
            constantly(SEARCHES_PER_SECOND, search, client, seen), constantly(DOCUMENTS_PER_SECOND, put, client, seen)
        )
        seconds = time.monotonic() - seen.began
        lost = await once_it_answers(client, seen)
    figures = {
        "seconds": round(seconds, 1),
        "searches": seen.searches,
        "documents": seen.documents,
        "accepted": len(seen.accepted),
        "failed": sum(seen.failures.values()),
        "failures": dict(seen.failures),
        "first_failures": seen.first_failures,
        "slowest_search_seconds": round(seen.slowest_seconds, 2),
        "lost": len(lost),
        "lost_documents": lost[:10],
    }
    print("figures " + json.dumps(figures), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
