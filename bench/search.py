"""Search through the gateway: latency one at a time, throughput with many callers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

from headwater import AsyncClient
from headwater.messages import RerankChoice

_turns = itertools.count()
"""Of the whole run, so that no round repeats an earlier one's questions."""


async def one_at_a_time(client: AsyncClient, questions: Sequence[str], count: int, rerank: RerankChoice) -> list[float]:
    """Milliseconds of ``count`` searches, each after the one before; after one warm-up pass over the questions."""
    for text in questions:
        await client.search(text, k=10, rerank=rerank)
    times = []
    for text in itertools.islice(itertools.cycle(questions), count):
        began = time.perf_counter()
        result = await client.search(text, k=10, rerank=rerank)
        times.append((time.perf_counter() - began) * 1000)
        if result.degraded or not result.hits:
            raise SystemExit(f"a search was degraded ({result.degraded}) or empty: its time says nothing")
    return times


async def many_callers(
    client: AsyncClient, questions: Sequence[str], callers: int, seconds: float, *, repeated: bool
) -> tuple[float, float]:
    """Complete answers per second with so many callers, each asking again as soon as it is answered; and the share of
    answers that were degraded.

    Unless ``repeated``, no question is asked twice in the same words, so that each one is embedded.
    """
    done = degraded = 0
    until = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal done, degraded
        while time.perf_counter() < until:
            turn = next(_turns)
            text = questions[turn % len(questions)]
            result = await client.search(text if repeated else f"{text} ({turn})", k=10, rerank="off")
            if not result.hits:
                raise SystemExit("a search was empty: its time says nothing")
            if result.degraded:
                degraded += 1
            else:
                done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (time.perf_counter() - began), degraded / (done + degraded)


def percentile(values: Sequence[float], q: float) -> float:
    """The value below which a share ``q`` of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]
