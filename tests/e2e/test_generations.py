"""Another chunker while searches and changes go on: nothing fails, nothing stale is served. Generations are of a whole
installation, so these tests have a stack of their own."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Place
from tests.e2e.installation import settings

from headwater import Client, Identity, PreconditionError
from headwater.cli import stack
from headwater.generations import GenerationStatus

pytestmark = [
    pytest.mark.skipif(os.environ.get("HEADWATER_PROFILE") == "cluster", reason="embedded engines"),
    # Five processes of its own, beside those of all other tests here.
    pytest.mark.timeout(400),
]

TENANT = "golden"
TOPICS = ("pump", "valve", "filter", "bearing", "gasket", "rotor")
QUERIES = len(TOPICS)
DEADLINE_SECONDS = 120.0
PAUSE_SECONDS = 0.1
ATTEMPTS = 3
"""A search that found the old rows just before the head was replaced serves neither those nor the new ones."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    chosen = {
        **settings(),
        "HEADWATER_INGEST_GENERATION_PAUSE_SECONDS": "0.5",
        "HEADWATER_INGEST_VERDICT_LEAST_QUERIES": str(QUERIES),
        # What is asked here is whether figures decide, not how fast a busy machine is.
        "HEADWATER_INGEST_VERDICT_MOST_LATENCY_RATIO": "1000",
    }
    data = tmp_path / "stack"
    try:
        endpoints = stack.start(data, port_base=0, environment=chosen)
        place = Place(data, endpoints.grpc["gateway"], endpoints.gateway_http, TENANT, chosen)
        with place.client() as client:
            client.create_tenant(TENANT)
        yield place
    finally:
        stack.stop(data)


def manual(topic: str) -> bytes:
    parts = [
        f"## Part {part}\n\nThe {topic} is described in part {part}. " + f"Check the {topic} before use. " * 12
        for part in range(4)
    ]
    return "\n\n".join(parts).encode()


def put_all(client: Client) -> None:
    for topic in TOPICS:
        client.put_document(topic, manual(topic), filename="manual.md", readers=["public"])
    assert {change.state for change in client.wait_until_applied(timeout_seconds=DEADLINE_SECONDS).values()} == {
        "applied"
    }


def golden(path: Path) -> Path:
    lines = [
        {"question": f"How is the {topic} checked?", "groups": [], "expected": [{"document_id": topic}]}
        for topic in TOPICS
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@dataclass
class Onlooker:
    """Searches for one document that is changed all the time, and for one that stays."""

    searches: int = 0
    problems: list[str] = field(default_factory=list)
    applied: int = 0
    """Edition of the changing document that was applied last, as far as its writer knows."""
    generations: set[str] = field(default_factory=set)

    def look(self, client: Client) -> None:
        least = self.applied
        for _ in range(ATTEMPTS):
            result = client.search("zebra edition", k=5, rerank="off", timeout_seconds=60)
            found = [hit.text for hit in result.hits if hit.document_id == "busy"]
            if found:
                break
        if least and not found:
            self.problems.append(f"edition {least} or a newer one is not found in {result.generation}")
        if found and int(found[0].rsplit(" ", 1)[1].rstrip(".")) < least:
            self.problems.append(f"{found[0]!r} is served although {least} is applied")
        steady = client.search("check the pump", k=10, rerank="off", timeout_seconds=60)
        if "pump" not in {hit.document_id for hit in steady.hits}:
            self.problems.append(f"what never changed is not found in {steady.generation}")
        self.generations.add(steady.generation)
        self.searches += 2


@contextmanager
def looking_on(place: Place) -> Iterator[Onlooker]:
    """Searches and edits at the same time until the end."""
    seen, stop = Onlooker(), threading.Event()

    def repeat(work: Callable[[Client], None]) -> None:
        with place.client() as client:
            while not stop.wait(PAUSE_SECONDS):
                try:
                    work(client)
                except Exception as error:
                    seen.problems.append(repr(error))

    def write(client: Client) -> None:
        edition = seen.applied + 1
        text = f"# Busy\n\nThe zebra edition {edition}.".encode()
        client.put_document("busy", text, filename="b.md", readers=["public"])
        assert {each.state for each in client.wait_until_applied(timeout_seconds=60).values()} == {"applied"}
        seen.applied = edition

    threads = [threading.Thread(target=repeat, args=(each,)) for each in (write, seen.look)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)


def wait_until(client: Client, reached: Callable[[GenerationStatus], bool]) -> GenerationStatus:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached(status := client.generation_status()):
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    return status


def wait_searched(seen: Onlooker, client: Client, name: str) -> None:
    """Waits until this generation is searched, and some more searches have been made."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while client.search("pump", rerank="off").generation != name:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    wanted = seen.searches + 4
    while seen.searches < wanted and not seen.problems:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_chunker_is_changed_rolled_back_and_changed_again_while_searches_run(place: Place, tmp_path: Path) -> None:
    with place.client() as client:
        put_all(client)
        with looking_on(place) as seen:
            first = wait_until(client, lambda status: status.active is not None).active
            assert first is not None
            name = client.create_generation(chunk_target_tokens=60).name
            with pytest.raises(PreconditionError, match="compared"):
                client.promote_generation(name)
            wait_until(client, lambda status: status.missing == 0)
            compared = place.command(
                "generation", "compare", name, str(golden(tmp_path / "golden.jsonl")), "--tenant", TENANT, "--json"
            )
            assert compared.returncode == 0, compared.stderr
            figures: dict[str, Any] = json.loads(compared.stdout)["comparison"]
            assert (figures["golden_queries"], figures["hit"], figures["hit_beside"]) == (QUERIES, 1.0, 1.0)
            assert client.promote_generation(name).name == name
            wait_searched(seen, client, name)
            assert client.roll_back_generation() == first
            wait_searched(seen, client, first.name)
            assert client.promote_generation(name).name == name
            wait_searched(seen, client, name)
            client.drop_generation(first.name)
            wait_until(client, lambda status: status.beside is None and not status.leaving)
            wait_searched(seen, client, name)
    assert not seen.problems, seen.problems[:5]
    assert seen.generations == {first.name, name}
    assert {path.parent.parent.name for path in (place.data / "index").glob("*/*/*")} == {name}


def test_the_stack_starts_again_with_the_generation_that_was_promoted(place: Place) -> None:
    with place.client() as client:
        client.put_document("one", manual("pump"), filename="a.md", readers=["public"])
        client.wait_until_applied(timeout_seconds=DEADLINE_SECONDS)
        name = client.create_generation(chunk_target_tokens=60).name
        wait_until(client, lambda status: status.missing == 0)
    refused = place.command("generation", "promote", name, "--force")
    assert b"REASON_MISSING" in refused.stderr
    promoted = place.command("generation", "promote", name, "--force", "--reason", "a test of restarts", "--json")
    assert promoted.returncode == 0, promoted.stderr
    stack.stop(place.data)
    endpoints = stack.start(place.data, port_base=0, environment=place.settings)
    with Client(endpoints.grpc["gateway"], identity=Identity(TENANT, "tester")) as client:
        client.put_document("two", manual("valve"), filename="a.md", readers=["public"])
        ended = client.wait_until_applied(timeout_seconds=DEADLINE_SECONDS).values()
        assert {change.state for change in ended} == {"applied"}
        found = client.search("pump or valve", k=20, rerank="off")
        assert found.generation == name
        assert {hit.document_id for hit in found.hits} == {"one", "two"}
