"""A deployment that can read nothing: it halts, gives nothing up, says why, and goes on once it is repaired."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.installation import settings

from headwater import Client, Identity
from headwater.cli import stack

TENANT = "default"
DOCUMENTS = 40
BROKEN = {"HEADWATER_INGEST_PARSE_TIMEOUT_SECONDS": "0.000001"}
"""No parser is ever done in time."""
SECONDS = 120.0


@pytest.fixture
def chosen() -> Mapping[str, str]:
    return settings()


@pytest.fixture
def data(tmp_path: Path, chosen: Mapping[str, str]) -> Iterator[Path]:
    try:
        stack.start(tmp_path, port_base=0, environment={**chosen, **BROKEN})
        yield tmp_path
    finally:
        stack.stop(tmp_path)


def client_of(data: Path) -> Client:
    endpoints = stack.Endpoints.load(data)
    assert endpoints is not None
    return Client(endpoints.grpc["gateway"], identity=Identity(TENANT))


def readiness(data: Path) -> tuple[int, str]:
    address = json.loads((data / "run" / "ingest.json").read_text())["metrics"]
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def command(data: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "headwater.cli", *arguments, "--data", str(data), "--json"],
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.timeout(4 * SECONDS)
def test_a_deployment_that_reads_nothing_halts_and_its_repair_applies_everything(
    data: Path, chosen: Mapping[str, str]
) -> None:
    with client_of(data) as client:
        client.create_tenant(TENANT)
        for number in range(DOCUMENTS):
            text = f"The ferry number {number} leaves at noon."
            client.put_document(f"doc-{number:03}", text.encode(), filename="f.txt", readers=["public"])
        deadline = time.monotonic() + SECONDS
        while not client.ingest_status().halts and time.monotonic() < deadline:
            time.sleep(0.05)
        [halt] = client.ingest_status().halts
        assert halt.reason.startswith("PARSER_")
        code, why = readiness(data)
        assert (code, halt.reason in why) == (503, True)
        shown = command(data, "status")["ingest"]
        assert shown["halts"][0]["reason"] == halt.reason
        assert shown["change_counts"] == {"pending": DOCUMENTS}
        # One word of an operator lets it go on; it finds out again that it can read nothing.
        assert command(data, "dlq", "resume")["halted"][0]["worker"] == halt.worker
        found = list(client.open_changes())
        assert len(found) == DOCUMENTS
        assert {change.cause for change in found} == {"halted"}
        assert all(change.age_seconds > 0 for change in found)
    stack.stop(data)
    stack.start(data, environment=chosen)
    with client_of(data) as client:
        deadline = time.monotonic() + SECONDS
        while client.ingest_status().pending and time.monotonic() < deadline:
            time.sleep(0.05)
        ended = client.ingest_status(list_limit=5)
        counts = dict(ended.change_counts)
        # What an operator let through before the halt came back is a dead letter that can be tried again.
        let_through = counts.pop("dead_lettered", 0)
        assert counts.pop("applied", 0) == DOCUMENTS - let_through
        assert not counts
        assert ended.halts == ()
        client.replay_dead_letters(tenant=TENANT)
        while client.ingest_status().pending and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.ingest_status().change_counts == {"applied": DOCUMENTS}
    assert readiness(data)[0] == 200
