"""SIGKILL of any one service during ingestion: after a restart every accepted document is applied, exactly once."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.e2e.installation import rows, settings

from headwater import Client, HeadwaterError, Identity
from headwater.cli import stack

DOCUMENTS = 60
TENANT = "default"
SECONDS = 180.0
"""Kafka takes 45 s to see that a consumer died, and up to 60 s more until its group has agreed again."""


@pytest.fixture(scope="module")
def chosen() -> Mapping[str, str]:
    return settings()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, chosen: Mapping[str, str]) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("killed")
    endpoints = stack.start(folder, port_base=0, environment=chosen)
    with Client(endpoints.grpc["gateway"]) as client:
        client.create_tenant(TENANT)
    try:
        yield folder
    finally:
        stack.stop(folder)


@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.parametrize("victim", stack.SERVICES)
def test_a_killed_service_loses_nothing_that_was_accepted(data: Path, chosen: Mapping[str, str], victim: str) -> None:
    endpoints = stack.Endpoints.load(data)
    assert endpoints is not None
    accepted: list[str] = []

    def send() -> None:
        with Client(endpoints.grpc["gateway"], identity=Identity(TENANT)) as client:
            for number in range(DOCUMENTS):
                document_id = f"{victim}-{number:03}"
                text = f"Document {number} for the {victim}: the ferry number {number} leaves at noon."
                while True:
                    try:
                        client.put_document(document_id, text.encode(), filename="f.txt", readers=["public"])
                        break
                    except HeadwaterError:
                        time.sleep(0.05)  # the gateway or ingest is being restarted; a put without OK was not accepted
                accepted.append(document_id)

    sender = threading.Thread(target=send)
    sender.start()
    while len(accepted) < DOCUMENTS // 3:
        time.sleep(0.005)
    pid = stack.pid_of(data, victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    stack.start(data, environment=chosen)
    sender.join(timeout=SECONDS)
    assert not sender.is_alive()

    with Client(endpoints.grpc["gateway"], identity=Identity(TENANT)) as client:
        deadline = time.monotonic() + SECONDS
        while client.ingest_status().pending and time.monotonic() < deadline:
            time.sleep(0.05)
        status = client.ingest_status(list_limit=5)
        live = {document.document_id for document in client.list_documents(prefix=f"{victim}-")}
        assert live == set(accepted)
        assert status.pending == 0, status.oldest_pending
        assert status.change_counts.get("dead_lettered", 0) == 0
        found = client.search(f"ferry number 7 for the {victim}", k=5).hits
        assert f"{victim}-007" in {hit.document_id for hit in found}
    stored = rows(data, chosen, TENANT)
    assert stored.vectors == stored.terms == stored.heads
