"""P10: what is put is found soon, beside a backfill as well."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.figures import Figures, Mark, percentile
from tests.chaos.patience import SECONDS
from tests.chaos.world import World

from headwater import Client

MEDIAN_SECONDS, SLOWEST_SECONDS, LIVE_SECONDS = 2.0, 10.0, 30.0
CALLERS = 4


def play(world: World) -> Figures:
    """Documents come at a steady rate and are searched for until they are found; then the same beside a backfill."""
    scale = world.scale
    tenant = world.tenant("p10")
    steady = _times(world, tenant, "steady")
    backfill = threading.Thread(target=_fill, args=(world, tenant))
    backfill.start()
    beside = _times(world, tenant, "beside")
    with world.client(tenant) as client:
        waited = client.ingest_status().bulk_lag
    backfill.join()
    world.settle(tenant)
    return Figures(
        "P10",
        f"{scale.fresh} documents, one every {scale.fresh_every_seconds} s; as many beside a backfill of "
        f"{scale.backfill} documents",
        (
            Mark("event → searchable p50", percentile(steady, 0.5), "≤", MEDIAN_SECONDS * scale.slack, " s"),
            Mark("p99", percentile(steady, 0.99), "≤", SLOWEST_SECONDS * scale.slack, " s"),
            Mark("live p99 beside the backfill", percentile(beside, 0.99), "≤", LIVE_SECONDS * scale.slack, " s"),
        ),
        {},
        {
            "live p50 beside the backfill": f"{percentile(beside, 0.5):.2f} s",
            "of the backfill still waiting when the live documents were found": str(waited),
        },
    )


def _times(world: World, tenant: str, name: str) -> list[float]:
    """Seconds from the call that put a document until a search finds it."""
    every = world.scale.fresh_every_seconds
    with ThreadPoolExecutor(CALLERS) as pool, world.client(tenant) as client:
        waiting = []
        next_at = time.monotonic()
        for number in range(world.scale.fresh):
            time.sleep(max(next_at - time.monotonic(), 0.0))  # a steady rate is what is measured
            next_at += every
            waiting.append(pool.submit(_time, client, f"{name}-{number:04}"))
        return [each.result() for each in waiting]


def _time(client: Client, name: str) -> float:
    text = f"The gauge {name} shows {int(name[-4:]) * 37 % 1_000} litres."
    began = time.monotonic()
    client.put_document(name, text.encode(), filename="a.txt", readers=["public"])
    while not any(hit.document_id == name for hit in client.search(text, k=5).hits):
        if time.monotonic() - began > SECONDS:
            break
        time.sleep(0.05)  # searches as often as a reader might, not as a load test
    return time.monotonic() - began


def _fill(world: World, tenant: str) -> None:
    with world.client(tenant) as client:
        for number in range(world.scale.backfill):
            text = f"Archived notice {number}: " + " ".join(f"pump{(number * 7 + each) % 89}" for each in range(60))
            name = f"archive-{number:05}"
            client.put_document(name, text.encode(), filename="a.txt", readers=["public"], bulk=True)
