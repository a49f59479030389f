"""Tier T2 of the guarantees: the real processes, killed twenty times and stopped for longer than a lease while two
thousand changes come in; afterwards the stores hold exactly what was accepted. On servers tests/chaos does the same and
more."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.e2e.installation import settings, with_stores
from tests.faults.checker import Findings, compare, fold
from tests.faults.generator import Event, Source, plan
from tests.faults.nemesis import ProcessNemesis, until

from chassis.eventlog.engine import LEASE_SECONDS
from headwater import Client, Identity
from headwater.cli import stack

pytestmark = pytest.mark.skipif(os.environ.get("HEADWATER_PROFILE") == "cluster", reason="embedded engines")

EVENTS, DOCUMENTS = 2_000, 400
BLOWS = 10
"""Of two SIGKILLs each: ingestion and one of the others."""
TENANT = "default"
SEED = int(os.environ.get("HEADWATER_FAULTS_SEED", "5"))
SECONDS = 180.0


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


@pytest.mark.timeout(4 * SECONDS)
def test_kills_and_a_stop_lose_nothing_and_bring_nothing_back(data: Path, chosen: Mapping[str, str]) -> None:
    endpoints = stack.Endpoints.load(data)
    assert endpoints is not None

    def connect() -> Client:
        return Client(endpoints.grpc["gateway"], identity=Identity(TENANT))

    nemesis = ProcessNemesis(data, chosen, random.Random(SEED))
    source = Source(connect, plan(SEED, EVENTS, DOCUMENTS))
    source.start()
    others = [service for service in stack.SERVICES if service != "ingest"]
    for number, victims in enumerate(nemesis.pairs(BLOWS, "ingest", others)):
        if number == BLOWS // 2:
            nemesis.stop_for(LEASE_SECONDS + 1, "ingest")
        # Work must be under way when it is struck, and some left for every blow.
        before = len(source.accepted)
        most = EVENTS * (number + 1) // (BLOWS + 2)
        until(
            lambda before=before, most=most: len(source.accepted) > max(before, most - EVENTS // BLOWS),  # type: ignore[misc]
            SECONDS,
            f"changes between blows; {nemesis.journal}",
        )
        nemesis.kill(victims)
    assert not source.is_done, "everything was over before the last blow"
    source.join(SECONDS)
    assert source.unknown > 0, "no call was cut"
    assert sum(nemesis.injected.values()) == 2 * BLOWS + 1

    with connect() as client:
        until(lambda: client.ingest_status().pending == 0, SECONDS, "every change has an end")
        until(lambda: client.ingest_status().lag == 0, SECONDS, "no lag")
        document = next(each.content for each in fold(e for e, _ in source.accepted).values() if each.content)
        found = client.search(document.text, k=10).hits if "public" in document.readers else None
        assert found is None or document.document_id in {hit.document_id for hit in found}
    findings = check(data, chosen, source.accepted)
    assert findings.all == {}
    assert findings.live > DOCUMENTS // 2
    assert findings.gone > 0


def check(data: Path, chosen: Mapping[str, str], accepted: Iterable[tuple[Event, str]]) -> Findings:
    """Reads the stores beside the running services."""
    return asyncio.run(with_stores(data, chosen, lambda stores: compare(stores, TENANT, accepted)))


def test_the_checker_notices_what_is_missing_what_is_too_much_and_what_is_stale(
    data: Path, chosen: Mapping[str, str]
) -> None:
    """A check that can't fail proves nothing: it is shown changes that nobody made, or that somebody hid from it."""
    endpoints = stack.Endpoints.load(data)
    assert endpoints is not None
    planned = plan(SEED + 1, 12, 3, prefix="small")
    with Client(endpoints.grpc["gateway"]) as client:
        client.create_tenant("small")

    def compared(accepted: Iterable[tuple[Event, str]]) -> Findings:
        return asyncio.run(with_stores(data, chosen, lambda stores: compare(stores, "small", accepted)))

    source = Source(lambda: Client(endpoints.grpc["gateway"], identity=Identity("small")), planned, connections=1)
    source.start()
    source.join(SECONDS)
    with Client(endpoints.grpc["gateway"], identity=Identity("small")) as client:
        until(lambda: client.ingest_status().pending == 0, SECONDS, "every change has an end")
    assert compared(source.accepted).all == {}
    first, event_id = source.accepted[0]
    invented = Event("small-9999", 1, "upsert", "Never sent.", ("public",))
    assert compared([*source.accepted, (invented, "no-such-event")]).all.keys() == {"missing", "open"}
    without = [each for each in source.accepted if each[0].document_id != first.document_id]
    assert "extra" in compared(without).all
    newer = Event(first.document_id, 99, "delete")
    assert "stale" in compared([*source.accepted, (newer, event_id)]).all
