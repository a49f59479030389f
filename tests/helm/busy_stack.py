"""A stack that does everything once, so that every metric the dashboards and rules name has a reason to exist."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headwater import Client, HeadwaterError, Identity, OverloadedError
from headwater.cli import stack

QUESTION = "How many days of paid leave are there?"
LEAVE = b"# Leave\n\nEveryone has 30 days of leave."
SECONDS = 60.0
CLUSTER_ONLY = {
    "headwater_heads_replica_age_seconds",
    "headwater_heads_replica_reads_total",
    "headwater_heads_replica_size",
    "headwater_ingest_rebalances_total",
}
"""Nothing embedded has a replica or a second worker: these are looked for in the pods of ``make test-cluster``."""


@dataclass(frozen=True)
class Sample:
    """One time series of a service."""

    name: str
    labels: dict[str, str]


def samples_of_a_busy_stack(data: Path) -> list[Sample]:
    """Starts a stack, brings it through every situation that is measured, and reads what its services say."""
    endpoints = stack.start(
        data,
        port_base=0,
        environment={
            "HEADWATER_GATEWAY_RATE_ASK": "3/60 seconds",
            "HEADWATER_GATEWAY_DRIFT_WINDOW": "2",
            "HEADWATER_RETRIEVER_MAX_IN_FLIGHT": "1",
            "HEADWATER_INGEST_AUDIT_EVERY_SECONDS": "1",
        },
    )
    try:
        target = endpoints.grpc["gateway"]
        _documents(target)
        _lose_bytes(data, endpoints.metrics["ingest"])
        _questions(target)
        _too_many(target)
        seen = _read(*endpoints.metrics.values())
        _kill(data, "reranker")
        _kill(data, "embedder")
        _search_without_models(target)
        seen += _read(endpoints.metrics["retriever"])
        _kill(data, "retriever")
        _ask_without_retriever(target)
        return seen + _read_once_counted(endpoints.metrics["gateway"], "UNAVAILABLE")
    finally:
        stack.stop(data)


def _client(target: str, subject: str = "tester") -> Client:
    return Client(target, identity=Identity("monitored", subject, ()))


def _documents(target: str) -> None:
    with _client(target) as client:
        client.create_tenant("monitored")
        client.put_document("leave", LEAVE, filename="a.md", readers=["public"])
        client.put_document("gone", b"# Leave\n\nThere are 20 days of paid leave.", filename="b.md", readers=["public"])
        client.put_document("broken", b"%PDF-1.7 and then nothing of the kind", filename="c.pdf", readers=["public"])
        client.wait_until_applied()
        client.set_document_access("leave", ["public", "group:staff"])
        client.put_document("gone", b"# Leave\n\nThere are 25 days of paid leave.", filename="b.md", readers=["public"])
        client.wait_until_applied()
        client.delete_document("gone")
        client.wait_until_applied()


def _lose_bytes(data: Path, ingest: str) -> None:
    """Removes a document's bytes behind the services' back, and waits until an audit has seen it."""
    sha256 = hashlib.sha256(LEAVE).hexdigest()
    (data / "objects" / "documents" / "monitored" / sha256[:2] / sha256).unlink()
    deadline = time.monotonic() + SECONDS
    while not any(sample.name == "headwater_audit_open" for sample in _read(ingest)):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _questions(target: str) -> None:
    with _client(target) as client:
        client.search(QUESTION, rerank="on")
        client.search(QUESTION, rerank="on")
        client.ask(QUESTION)
        client.ask("What does the moon weigh in Portuguese?")


def _too_many(target: str) -> None:
    with _client(target, "hasty") as client, ThreadPoolExecutor(64) as pool:

        def ask(_: int) -> None:
            with contextlib.suppress(OverloadedError):  # over its rate: that is what is wanted here
                client.ask(QUESTION)

        def search(number: int) -> None:
            with contextlib.suppress(HeadwaterError):  # as is a refusal
                client.search(f"{QUESTION} {number}", rerank="on")

        list(pool.map(ask, range(6)))
        list(pool.map(search, range(256)))


def _kill(data: Path, service: str) -> None:
    pid = stack.pid_of(data, service)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _search_without_models(target: str) -> None:
    with _client(target) as client:
        results = [client.search(f"{QUESTION} without {number}", rerank="on") for number in range(8)]
    assert all(result.degraded for result in results)


def _ask_without_retriever(target: str) -> None:
    with _client(target, "unlucky") as client, pytest.raises(HeadwaterError):
        client.ask(QUESTION)


def _read_once_counted(address: str, code: str) -> list[Sample]:
    """A caller knows how his call ended a moment before it is counted."""
    deadline = time.monotonic() + SECONDS
    while True:
        seen = _read(address)
        if any(code == sample.labels.get("code") for sample in seen):
            return seen
        assert time.monotonic() < deadline, f"no call was counted as {code}"
        time.sleep(0.1)


def _read(*addresses: str) -> list[Sample]:
    seen: list[Sample] = []
    for address in addresses:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=SECONDS) as reply:
            families = text_string_to_metric_families(reply.read().decode())
        seen += [Sample(sample.name, dict(sample.labels)) for family in families for sample in family.samples]
    return seen
